"""Requests that are lost, late, throttled, refused: what a node is told, and what the arbiter then holds."""

from __future__ import annotations

import asyncio

import pytest

from agent.arbiters.conditional import ConditionalArbiter
from agent.arbiters.contract import ArbiterRefused, ArbiterUnanswered, Conflict, Record, Version
from tests.arbiters.benches import Bench
from tests.arbiters.fake import Call, Trouble
from tests.arbiters.records import HIERARCHY, NODE_A, NODE_B, record

WELL_BEYOND_S = 30.0  # no call takes as long, and a fault that hangs takes ten times as long

first_and_next = pytest.mark.parametrize("first", [True, False], ids=["first", "next"])


async def begin(bench: Bench, *, first: bool = False) -> tuple[ConditionalArbiter, Version | None]:
    """An impatient node's arbiter, and the version that it has just read."""
    version = None if first else await (await bench.arbiter()).write(HIERARCHY, record(NODE_B), None)
    return await bench.impatient(), version


async def held(bench: Bench) -> Record | None:
    """What somebody finds who reads later, when all goes well again."""
    bench.heal()
    found = await (await bench.arbiter()).read(HIERARCHY)
    return found and found[0]


@first_and_next
@pytest.mark.parametrize("trouble", [Trouble.LOST_AFTER, Trouble.SLOW_ANSWER], ids=lambda each: each.name)
def test_a_write_that_was_made_though_its_answer_got_lost_is_found_out(
    runner: asyncio.Runner, bench: Bench, first: bool, trouble: Trouble
) -> None:
    async def scene() -> None:
        arbiter, version = await begin(bench, first=first)
        vote = record(NODE_A, term=2)
        bench.trouble("write", trouble)
        version = await arbiter.write(HIERARCHY, vote, version)
        assert await held(bench) == vote
        await (await bench.arbiter()).write(HIERARCHY, record(NODE_A, term=2), version)  # it can be renewed

    runner.run(scene())


@first_and_next
@pytest.mark.parametrize(
    "trouble",
    [Trouble.LOST_BEFORE, Trouble.BROKEN, Trouble.CONTENDED, Trouble.HANG],
    ids=lambda each: each.name,
)
def test_a_write_that_nobody_answered_and_that_isnt_there_may_yet_be_made(
    runner: asyncio.Runner, bench: Bench, first: bool, trouble: Trouble
) -> None:
    async def scene() -> None:
        arbiter, version = await begin(bench, first=first)
        before, sent = await held(bench), len(bench.calls())
        bench.trouble("write", trouble)
        with pytest.raises(ArbiterUnanswered, match="may yet be"):
            await arbiter.write(HIERARCHY, record(NODE_A, term=2), version)
        assert bench.calls()[sent + 0 :] == ["write", "read"]  # looked up, and not tried again
        assert await held(bench) == before
        await (await bench.arbiter()).write(HIERARCHY, record(NODE_A, term=2), version)

    runner.run(scene())


@first_and_next
def test_a_write_that_arrives_after_its_writer_gave_up_is_seen_later(
    runner: asyncio.Runner, bench: Bench, first: bool
) -> None:
    async def scene() -> None:
        arbiter, version = await begin(bench, first=first)
        vote = record(NODE_A, term=2)
        bench.trouble("write", Trouble.LATE)
        with pytest.raises(ArbiterUnanswered, match="may yet be"):
            await arbiter.write(HIERARCHY, vote, version)
        assert await held(bench) != vote
        await bench.late_writes_arrive()
        assert await held(bench) == vote

    runner.run(scene())


@first_and_next
def test_a_write_that_arrives_late_replaces_nobody_who_wrote_meanwhile(
    runner: asyncio.Runner, bench: Bench, first: bool
) -> None:
    async def scene() -> None:
        arbiter, version = await begin(bench, first=first)
        bench.trouble("write", Trouble.LATE)
        with pytest.raises(ArbiterUnanswered):
            await arbiter.write(HIERARCHY, record(NODE_A, term=2), version)
        taken = record(NODE_B, term=3)
        await (await bench.arbiter()).write(HIERARCHY, taken, version)
        await bench.late_writes_arrive()
        assert await held(bench) == taken

    runner.run(scene())


@pytest.mark.parametrize(
    "trouble", [Trouble.LOST_BEFORE, Trouble.BROKEN, Trouble.CONTENDED], ids=lambda each: each.name
)
def test_a_write_that_nobody_answered_is_a_conflict_if_another_one_is_there(
    runner: asyncio.Runner, bench: Bench, trouble: Trouble
) -> None:
    async def scene() -> None:
        arbiter, version = await begin(bench)
        taken = record(NODE_B, term=2)
        new_version = await arbiter.write(HIERARCHY, taken, version)
        bench.trouble("write", trouble)
        with pytest.raises(Conflict) as caught:
            await arbiter.write(HIERARCHY, record(NODE_A, term=2), version)
        assert (caught.value.record, caught.value.version) == (taken, new_version)

    runner.run(scene())


@pytest.mark.parametrize("trouble", [None, Trouble.LOST_AFTER], ids=["refused", "lost"])
def test_who_cant_look_up_what_became_of_a_write_knows_nothing(
    runner: asyncio.Runner, bench: Bench, trouble: Trouble | None
) -> None:
    async def scene() -> None:
        arbiter, version = await begin(bench)
        if trouble:
            bench.trouble("write", trouble)
        bench.trouble("read", Trouble.BROKEN)
        with pytest.raises(ArbiterUnanswered, match="reading what it holds"):
            await arbiter.write(HIERARCHY, record(), version if trouble else None)

    runner.run(scene())


@pytest.mark.parametrize("call", ["read", "write"])
def test_a_throttled_request_is_unanswered_and_asks_for_nothing_more(
    runner: asyncio.Runner, bench: Bench, call: Call
) -> None:
    async def scene() -> None:
        arbiter, version = await begin(bench)
        before, sent = await held(bench), len(bench.calls())
        bench.trouble(call, Trouble.THROTTLED)
        with pytest.raises(ArbiterUnanswered):
            await (arbiter.read(HIERARCHY) if call == "read" else arbiter.write(HIERARCHY, record(), version))
        assert bench.calls()[sent:] == [call]
        assert await held(bench) == before

    runner.run(scene())


@pytest.mark.parametrize(
    "trouble", [Trouble.BROKEN, Trouble.LOST_BEFORE, Trouble.HANG], ids=lambda each: each.name
)
def test_a_read_that_fails_is_unanswered_and_not_tried_again(
    runner: asyncio.Runner, bench: Bench, trouble: Trouble
) -> None:
    async def scene() -> None:
        arbiter, _version = await begin(bench)
        sent = len(bench.calls())
        bench.trouble("read", trouble)
        with pytest.raises(ArbiterUnanswered):
            await arbiter.read(HIERARCHY)
        assert bench.calls()[sent:] == ["read"]

    runner.run(scene())


def test_no_call_outlasts_its_limit_though_nothing_is_answered(runner: asyncio.Runner, bench: Bench) -> None:
    async def scene() -> None:
        _arbiter, version = await begin(bench)
        arbiter = await bench.brief()
        bench.trouble("read", Trouble.HANG, None)
        bench.trouble("write", Trouble.HANG, None)
        calls = [arbiter.read(HIERARCHY), arbiter.write(HIERARCHY, record(), version)]
        async with asyncio.timeout(WELL_BEYOND_S):
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(outcome, ArbiterUnanswered), outcome

    runner.run(scene())


def test_a_call_that_is_cancelled_leaves_an_arbiter_that_works(runner: asyncio.Runner, bench: Bench) -> None:
    async def scene() -> None:
        arbiter, version = await begin(bench)
        bench.trouble("write", Trouble.HANG)
        sent = len(bench.calls())
        call = asyncio.create_task(arbiter.write(HIERARCHY, record(), version))
        async with asyncio.timeout(WELL_BEYOND_S):
            while len(bench.calls()) == sent:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await (await bench.arbiter()).write(HIERARCHY, record(), version)

    runner.run(scene())


@pytest.mark.parametrize("trouble", [Trouble.DENIED, Trouble.GONE], ids=lambda each: each.name)
@pytest.mark.parametrize("call", ["read", "write"])
def test_what_an_operator_must_mend_is_refused(
    runner: asyncio.Runner, bench: Bench, call: Call, trouble: Trouble
) -> None:
    async def scene() -> None:
        arbiter, version = await begin(bench)
        before, sent = await held(bench), len(bench.calls())
        bench.trouble(call, trouble)
        with pytest.raises(ArbiterRefused) as caught:
            await (arbiter.read(HIERARCHY) if call == "read" else arbiter.write(HIERARCHY, record(), version))
        assert caught.value.step
        assert bench.calls()[sent:] == [call]
        assert await held(bench) == before

    runner.run(scene())
