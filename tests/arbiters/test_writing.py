"""Reading and writing the vote, while every request is answered."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from agent.arbiters.contract import Arbiter, ArbiterRefused, Conflict, Version
from agent.arbiters.documents import encode
from agent.core.ids import HierarchyId
from agent.core.messages import Register
from tests.arbiters.benches import Bench
from tests.arbiters.records import HIERARCHY, NODE_A, NODE_B, record

ROUNDS, WRITERS = 25, 4
OTHERS = Register(hierarchy=HierarchyId("other"))


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads interrupt each other a thousand times more often than usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


def test_who_writes_first_and_then_reads_finds_just_that(runner: asyncio.Runner, bench: Bench) -> None:
    async def scene() -> None:
        one, other = await bench.arbiter(0), await bench.arbiter(1)
        assert await one.read(HIERARCHY) is None
        written = record(NODE_A)
        version = await one.write(HIERARCHY, written, None)
        assert await one.read(HIERARCHY) == (written, version)
        assert await other.read(HIERARCHY) == (written, version)

    runner.run(scene())


def test_a_vote_can_be_released_and_given_to_another(runner: asyncio.Runner, bench: Bench) -> None:
    async def scene() -> None:
        arbiter = await bench.arbiter()
        version = await arbiter.write(HIERARCHY, record(NODE_A, term=1), None)
        version = await arbiter.write(HIERARCHY, record(None, term=1), version)
        taken = record(NODE_B, term=2)
        version = await arbiter.write(HIERARCHY, taken, version)
        assert await arbiter.read(HIERARCHY) == (taken, version)

    runner.run(scene())


def test_a_renewal_changes_the_version_and_nothing_else(runner: asyncio.Runner, bench: Bench) -> None:
    """So others see that the vote is in use, and a write that rests on an older reading fails."""

    async def scene() -> None:
        arbiter, vote = await bench.arbiter(), record(NODE_A)
        versions = [await arbiter.write(HIERARCHY, vote, None)]
        for _ in range(3):
            vote = replace(vote, nonce=record().nonce)
            versions.append(await arbiter.write(HIERARCHY, vote, versions[-1]))
        assert len(set(versions)) == len(versions)
        for stale in versions[:-1]:
            with pytest.raises(Conflict):
                await arbiter.write(HIERARCHY, record(NODE_B, term=2), stale)
        assert await arbiter.read(HIERARCHY) == (vote, versions[-1])

    runner.run(scene())


async def race(arbiters: Sequence[Arbiter], hierarchy: HierarchyId, expected: Version | None) -> Version:
    """Write at the same time from several nodes; the winner's version."""
    votes = [record(NODE_A, hierarchy=hierarchy) for _ in arbiters]
    writes = [arbiter.write(hierarchy, vote, expected) for arbiter, vote in zip(arbiters, votes, strict=True)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    won = [number for number, each in enumerate(outcomes) if isinstance(each, str)]
    assert len(won) == 1, outcomes
    winner = votes[won[0]], Version(str(outcomes[won[0]]))
    for lost in set(range(len(votes))) - set(won):
        told = outcomes[lost]
        assert isinstance(told, Conflict), told
        assert (told.record, told.version) == winner
    assert await arbiters[0].read(hierarchy) == winner
    return winner[1]


@pytest.mark.usefixtures("eager_threads")
def test_of_racing_first_writers_exactly_one_wins(runner: asyncio.Runner, bench: Bench) -> None:
    async def scene() -> None:
        arbiters = [await bench.arbiter(node) for node in range(WRITERS)]
        for number in range(ROUNDS):
            await race(arbiters, HierarchyId(f"app-{number}"), None)

    runner.run(scene())


@pytest.mark.usefixtures("eager_threads")
def test_of_racing_successors_exactly_one_wins(runner: asyncio.Runner, bench: Bench) -> None:
    async def scene() -> None:
        arbiters, version = [await bench.arbiter(node) for node in range(WRITERS)], None
        for _ in range(ROUNDS):
            version = await race(arbiters, HIERARCHY, version)

    runner.run(scene())


def test_a_conflict_carries_what_is_there_and_changes_nothing(runner: asyncio.Runner, bench: Bench) -> None:
    async def scene() -> None:
        one, other = await bench.arbiter(0), await bench.arbiter(1)
        held = record(NODE_A)
        version = await one.write(HIERARCHY, held, None)
        for expected in (None, Version("an-old-version")):
            with pytest.raises(Conflict, match="term 1, voted for db-01") as caught:
                await other.write(HIERARCHY, record(NODE_B, term=2), expected)
            assert (caught.value.record, caught.value.version) == (held, version)
        assert await one.read(HIERARCHY) == (held, version)

    runner.run(scene())


def test_a_record_that_was_deleted_is_a_conflict_too(runner: asyncio.Runner, bench: Bench) -> None:
    async def scene() -> None:
        arbiter = await bench.arbiter()
        version = await arbiter.write(HIERARCHY, record(), None)
        bench.put_by_hand(HIERARCHY, None)
        with pytest.raises(Conflict, match="no record") as caught:
            await arbiter.write(HIERARCHY, record(), version)
        assert (caught.value.record, caught.value.version) == (None, None)
        await arbiter.write(HIERARCHY, record(), None)

    runner.run(scene())


def test_hierarchies_have_a_vote_each(runner: asyncio.Runner, bench: Bench) -> None:
    async def scene() -> None:
        arbiter, second = await bench.arbiter(), HierarchyId("reports")
        votes = [record(NODE_A), record(NODE_B, hierarchy=second)]
        version = await arbiter.write(HIERARCHY, votes[0], None)
        await arbiter.write(second, votes[1], None)
        assert await arbiter.read(HIERARCHY) == (votes[0], version)

    runner.run(scene())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "damaged"),
        (b"owner = db-01", "damaged"),
        (b"[1, 2]", "damaged"),
        (b'{"kagemusha": 1}', "damaged"),
        (encode(record())[:-9], "damaged"),
        (encode(record()).replace(b'"term":1', b'"term":"1"'), "damaged"),
        (b'{"a": ' + b"[" * 9_000 + b"]" * 9_000 + b', "kagemusha": 1}', "damaged"),
        (b'{"kagemusha": 2, "votes": []}', "format 2"),
        (encode(replace(record(), register=OTHERS)), "hierarchy, other"),
    ],
    ids=["empty", "no-json", "list", "no-record", "cut", "wrong-type", "deep", "newer", "foreign"],
)
def test_a_record_that_cant_be_read_is_refused_and_never_overwritten(
    runner: asyncio.Runner, bench: Bench, content: bytes, says: str
) -> None:
    async def scene() -> None:
        arbiter = await bench.arbiter()
        bench.put_by_hand(HIERARCHY, content)
        attempts = [arbiter.read(HIERARCHY)] + [
            arbiter.write(HIERARCHY, record(), expected) for expected in (None, Version("an-old-version"))
        ]
        for attempt in attempts:
            with pytest.raises(ArbiterRefused, match=says) as caught:
                await attempt
            assert "app" in caught.value.text
            assert "delete it" in caught.value.step
        assert bench.stored(HIERARCHY) == content

    runner.run(scene())


def test_a_read_is_one_request_and_so_is_a_write_that_is_answered(
    runner: asyncio.Runner, bench: Bench
) -> None:
    async def scene() -> None:
        arbiter = await bench.arbiter()
        assert list(bench.calls()) == []  # getting ready asks nothing
        await arbiter.read(HIERARCHY)
        version = await arbiter.write(HIERARCHY, record(), None)
        await arbiter.write(HIERARCHY, record(), version)
        assert list(bench.calls()) == ["read", "write", "write"]
        with pytest.raises(Conflict):
            await arbiter.write(HIERARCHY, record(), version)
        assert list(bench.calls())[3:] == ["write", "read"]

    runner.run(scene())
