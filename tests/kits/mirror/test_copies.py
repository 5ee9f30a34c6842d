"""What the voters are told about copies, and what is known meanwhile."""

from __future__ import annotations

import asyncio

from recovery_kits.mirror.copies import Copies
from recovery_kits.mirror.legs import Counted
from tests.kits.mirror.voters import Voters, telling
from tests.runtime.waiting import until


def quiet() -> None:
    """Nobody wants to hear of agreements."""


def test_nothing_is_known_of_a_copy_before_the_voters_were_told() -> None:
    copies = Copies(Voters(), print, quiet)
    assert copies.counted("b") is Counted.UNKNOWN
    copies.whole({"a"})
    assert copies.counted("b") is Counted.UNKNOWN


async def _dropped_and_back() -> None:
    voters = Voters()
    copies = Copies(voters, print, quiet)
    async with telling(copies):
        voters.open.set()
        copies.whole({"a", "b"})
        await until(lambda: copies.counted("b") is Counted.YES)
        voters.open.clear()
        copies.whole({"a"})
        await until(lambda: voters.asked[-1] == {"a"})
        assert copies.counted("b") is Counted.UNKNOWN  # not before the voters say so
        voters.open.set()
        await until(lambda: copies.counted("b") is Counted.NO)
        voters.open.clear()
        copies.whole({"a", "b"})
        assert copies.counted("b") is Counted.UNKNOWN


def test_a_copy_stops_counting_only_when_that_is_agreed() -> None:
    asyncio.run(_dropped_and_back())


async def _superseded() -> None:
    voters = Voters()
    copies = Copies(voters, print, quiet)
    async with telling(copies):
        voters.open.set()
        copies.whole({"a"})
        await until(lambda: copies.counted("b") is Counted.NO)
        voters.open.clear()
        copies.whole({"a", "b"})
        await until(lambda: voters.asked[-1] == {"a", "b"})
        copies.whole({"a"})  # while the set with it is under way: the voters may count it
        assert copies.counted("b") is Counted.UNKNOWN
        await until(lambda: voters.asked[-1] == {"a"})
        assert copies.counted("b") is Counted.UNKNOWN
        voters.open.set()
        await until(lambda: copies.counted("b") is Counted.NO)
        assert voters.agreed == [{"a"}, {"a"}]


def test_a_newer_set_replaces_one_that_is_not_agreed_yet() -> None:
    asyncio.run(_superseded())


async def _refused() -> None:
    voters, said = Voters(), list[str]()
    copies = Copies(voters, said.append, quiet)
    voters.refusals = 2
    voters.open.set()
    async with telling(copies):
        copies.whole({"a"})
        await until(lambda: copies.why != "")
        assert copies.counted("b") is Counted.UNKNOWN
        await until(lambda: copies.counted("b") is Counted.NO)
    assert said == ["can't say whose copies are whole: this node doesn't own app"]
    assert copies.why == ""


def test_a_refusal_is_said_once_and_asked_again() -> None:
    asyncio.run(_refused())


async def _of_none() -> None:
    voters = Voters()
    copies = Copies(voters, print, quiet)
    voters.open.set()
    async with telling(copies):
        copies.whole({"a"})
        await until(lambda: copies.counted("a") is Counted.YES)
        copies.whole(())
        assert copies.counted("a") is Counted.YES
    assert voters.asked == [{"a"}]


def test_that_no_copy_is_whole_is_never_said() -> None:
    asyncio.run(_of_none())
