"""Real agents on loopback: what a peer's words become."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import get_args

import pytest

from agent.core.events import HeartbeatHeard, MessageHeard, PeerLeft, ReportHeard
from agent.core.ids import PathId, RequestId, Tag
from agent.core.messages import (
    AskKit,
    BringInService,
    Command,
    Confirm,
    Forward,
    Message,
    Recover,
    Reply,
    TrustReplica,
)
from agent.core.model import Heartbeat
from tests.comm.world import (
    ENI_0,
    ENI_1,
    FORWARD,
    HEARTBEAT,
    OTHER_KEYRING,
    A,
    Agent,
    B,
    C,
    address,
    clock_ms,
    free_port,
    on_loop,
    redirected,
    relaying,
    report,
    running,
    two_paths,
    until,
)


def pair(heartbeat: Heartbeat = HEARTBEAT) -> tuple[Agent, Agent]:
    paths = two_paths(free_port())
    return Agent(A, paths, heartbeat=heartbeat), Agent(B, paths, heartbeat=heartbeat)


def paths_heard(agent: Agent) -> set[PathId]:
    return {event.path for event in agent.got(HeartbeatHeard)}


@on_loop
async def test_heartbeats_count_on_every_path_in_both_directions() -> None:
    a, b = pair()
    async with running(a, b):
        await until(lambda: paths_heard(a) == paths_heard(b) == {ENI_0, ENI_1})
        heard = a.got(HeartbeatHeard)[-1]
        assert heard.peer == B
        assert heard.incarnation == b.comm.incarnation
        assert heard.answers is not None
        assert 0 <= heard.at - heard.answers < HEARTBEAT.dead_after_ms
        assert a.comm.peer_info()[B].version == "0.1.0"
        assert a.comm.peer_info()[B].config_digest == "digest"
        first, second = a.comm.path_stats()[B]
        assert (first.name, first.priority, first.remote) == (ENI_0, 1, address(B, ENI_0))
        assert second.name == ENI_1
        assert first.rtt_ms is not None
        assert first.rtt_ms < HEARTBEAT.dead_after_ms
        assert first.loss_percent == 0


@on_loop
async def test_a_published_report_arrives_once_on_however_many_heartbeats_it_rides() -> None:
    a, b = pair()
    async with running(a, b):
        await until(lambda: paths_heard(b))
        a.comm.publish(report(1))
        await until(lambda: b.got(ReportHeard))
        assert b.got(HeartbeatHeard)[-1].revision == b.got(ReportHeard)[-1].report.revision
        counted = len(b.got(HeartbeatHeard))
        await until(lambda: len(b.got(HeartbeatHeard)) > counted + 6)
        (heard,) = b.got(ReportHeard)
        assert (heard.peer, heard.incarnation, heard.report) == (A, a.comm.incarnation, report(1))
        a.comm.publish(report(2))
        await until(lambda: len(b.got(ReportHeard)) == 2)


@on_loop
async def test_publishing_does_not_wait_for_the_next_interval() -> None:
    slow = Heartbeat(interval_ms=3_600_000, dead_after_ms=36_000_000)
    a, b = pair(slow)
    async with running(a, b):
        await until(
            lambda: paths_heard(a) == paths_heard(b) == {ENI_0, ENI_1}
        )  # new lives are answered at once
        a.comm.publish(report(1))
        await until(lambda: b.got(ReportHeard))


@on_loop
async def test_a_report_too_long_for_a_heartbeat_goes_over_tcp_and_again_to_a_peer_that_restarts() -> None:
    a, b = pair()
    long = report(7, resources=400)
    again = Agent(B, b.paths)
    a.comm.publish(long)
    async with running(a):
        async with running(b):
            await until(lambda: b.got(ReportHeard))
            a.comm.publish(report(8, resources=300))
            await until(lambda: len(b.got(ReportHeard)) == 2)
            assert [event.report for event in b.got(ReportHeard)] == [long, report(8, resources=300)]
        async with running(again):
            await until(lambda: again.got(ReportHeard))
            assert again.got(ReportHeard)[0].report == report(8, resources=300)


@on_loop
async def test_messages_of_every_kind_arrive_in_order_and_between_any_two_of_three() -> None:
    paths = two_paths(free_port(), (A, B, C))
    a, b, c = agents = [Agent(node, paths) for node in (A, B, C)]
    garoon = FORWARD.command.hierarchy
    messages: list[Message] = [
        FORWARD,
        Forward(request=RequestId("r2"), command=BringInService(hierarchy=garoon, node=B)),
        Forward(
            request=RequestId("r3"),
            command=Recover(hierarchy=garoon, tag=report(1).hierarchies[0].resources[0].tag),
        ),
        Forward(request=RequestId("r4"), command=Confirm(hierarchy=garoon, take=True)),
        Forward(request=RequestId("r5"), command=TrustReplica(hierarchy=garoon, node=B, first=False)),
        Forward(
            request=RequestId("r6"),
            command=AskKit(
                hierarchy=garoon, tag=Tag("fs"), node=None, verb="pause", arguments=(("node", "db-02"),)
            ),
        ),
        Reply(request=RequestId("r1"), accepted=False, text="拒否: no node is eligible"),
    ]
    commands = {type(each.command) for each in messages if isinstance(each, Forward)}
    assert commands == set(get_args(Command))
    async with running(*agents):
        await until(lambda: all(len(agent.comm.peer_info()) == 2 for agent in agents))
        for message in messages:
            a.comm.send(B, message)
            c.comm.send(B, message)
            b.comm.send(C, message)
        await until(lambda: len(b.got(MessageHeard)) == 14 and len(c.got(MessageHeard)) == 7)
        assert [event.message for event in b.got(MessageHeard) if event.peer == A] == messages
        assert [event.message for event in b.got(MessageHeard) if event.peer == C] == messages
        assert {event.peer for event in c.got(MessageHeard)} == {B}


@on_loop
async def test_a_message_is_lost_and_counted_when_no_path_is_up() -> None:
    a, _ = pair()
    async with running(a):
        a.comm.send(B, FORWARD)
        await until(lambda: a.dropped("no-path") == 1)


@on_loop
async def test_waiting_messages_are_bounded() -> None:
    a, _ = pair()
    for _ in range(100):
        a.comm.send(B, FORWARD)
    assert a.dropped("queue-full") == 36


@on_loop
async def test_a_message_takes_the_next_best_path_when_the_best_refuses_it() -> None:
    port = free_port()
    paths, relay_at = two_paths(port), "127.10.0.9"  # UDP passes there, nobody listens for TCP
    a, b = Agent(A, redirected(paths, ENI_0, B, relay_at)), Agent(B, paths)
    async with relaying(relay_at, address(B, ENI_0), port), running(a, b):
        await until(lambda: paths_heard(a) == {ENI_0, ENI_1})
        a.comm.send(B, FORWARD)
        await until(lambda: b.got(MessageHeard))
        assert a.dropped("undelivered") == 0


@on_loop
async def test_a_message_whose_acknowledgement_is_lost_is_said_twice_and_delivered_once() -> None:
    port = free_port()
    paths, relay_at = two_paths(port), "127.10.0.9"
    a, b = Agent(A, redirected(paths, ENI_0, B, relay_at)), Agent(B, paths)
    async with (
        relaying(relay_at, address(B, ENI_0), port),
        swallowing_answers(relay_at, address(B, ENI_0), port) as passed_on,
        running(a, b),
    ):
        await until(lambda: paths_heard(a) == {ENI_0, ENI_1})
        a.comm.send(B, FORWARD)
        await until(lambda: b.got(MessageHeard))
        assert passed_on
        reply = Reply(request=RequestId("r9"), accepted=True, text="")
        a.comm.send(B, reply)
        await until(lambda: len(b.got(MessageHeard)) >= 2)
        assert [event.message for event in b.got(MessageHeard)] == [FORWARD, reply]


@contextlib.asynccontextmanager
async def swallowing_answers(at: str, to: str, port: int) -> AsyncIterator[list[bytes]]:
    """A TCP relay that passes on the server's greeting and not a byte of what it says after."""
    passed_on: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(to, port, local_addr=(address(A, ENI_0), 0))
        writer.write(await far_reader.readexactly(37))
        while words := await reader.read(65_536):
            passed_on.append(words)
            far_writer.write(words)
        for each in (writer, far_writer):
            each.transport.abort()

    server = await asyncio.start_server(serve, at, port)
    try:
        yield passed_on
    finally:
        server.close()
        await server.wait_closed()


@on_loop
async def test_a_goodbye_is_told_once_and_nothing_of_that_life_is_heard_after_it() -> None:
    a, b = pair()
    async with running(a):
        async with running(b):
            await until(lambda: paths_heard(a) == paths_heard(b) == {ENI_0, ENI_1})
            await b.comm.goodbye()
            await until(lambda: a.got(PeerLeft))
        left = a.events.index(a.got(PeerLeft)[0])
        assert a.got(PeerLeft) == [PeerLeft(a.got(PeerLeft)[0].at, B, b.comm.incarnation)]
        heard = [event for event in a.events[left + 1 :] if isinstance(event, HeartbeatHeard)]
        assert not [event for event in heard if event.answers is not None]
        a.comm.send(B, FORWARD)
        await until(lambda: a.dropped("no-path") == 1)
        again = Agent(B, b.paths)
        async with running(again):
            await until(lambda: a.got(HeartbeatHeard)[-1].incarnation == again.comm.incarnation)


@on_loop
async def test_a_restarted_peer_is_believed_and_its_report_is_news_whatever_its_revision() -> None:
    a, b = pair()
    async with running(a):
        async with running(b):
            b.comm.publish(report(9))
            await until(lambda: a.got(ReportHeard))
        again = Agent(B, b.paths)
        async with running(again):
            again.comm.publish(report(1))
            await until(lambda: len(a.got(ReportHeard)) == 2)
            assert a.got(ReportHeard)[1].report == report(1)
            assert a.got(ReportHeard)[1].incarnation == again.comm.incarnation
            assert a.got(HeartbeatHeard)[-1].incarnation == again.comm.incarnation


@on_loop
async def test_a_link_that_works_one_way_counts_in_neither_direction() -> None:
    port = free_port()
    paths, relay_at = two_paths(port), "127.10.0.9"
    a, b = Agent(A, redirected(paths, ENI_0, B, relay_at)), Agent(B, paths)
    async with relaying(relay_at, address(B, ENI_0), port) as relay, running(a, b):
        await until(lambda: paths_heard(a) == paths_heard(b) == {ENI_0, ENI_1})
        relay.cut = True  # a -> b on eni-0; b -> a still arrives
        cut_at = clock_ms()
        await until(lambda: clock_ms() > cut_at + 2 * HEARTBEAT.dead_after_ms)
        assert (
            max(e.at for e in a.got(HeartbeatHeard) if e.path == ENI_0)
            <= cut_at + 1.5 * HEARTBEAT.dead_after_ms
        )
        assert a.got(HeartbeatHeard)[-1].path == ENI_1
        assert a.dropped("unanswered") > 2
        assert {each.path for each in a.uncounted() if each.at > cut_at} == {ENI_0}
        loss = a.comm.path_stats()[B][0].loss_percent
        assert loss is not None
        assert loss > 0
        relay.cut = False
        healed_at = clock_ms()
        await until(lambda: any(e.path == ENI_0 and e.at > healed_at for e in a.got(HeartbeatHeard)))


@on_loop
async def test_a_comm_path_whose_address_is_not_there_yet_harms_nothing() -> None:
    port = free_port()
    paths = redirected(two_paths(port), ENI_0, A, "192.0.2.1")  # no interface has it
    a, b = Agent(A, paths), Agent(B, paths)
    async with running(a, b):
        await until(lambda: paths_heard(a) == paths_heard(b) == {ENI_1})
        a.comm.send(B, FORWARD)
        await until(lambda: b.got(MessageHeard))


@on_loop
async def test_agents_of_another_cluster_are_not_heard() -> None:
    paths = two_paths(free_port())
    a, b = Agent(A, paths), Agent(B, paths, OTHER_KEYRING)
    async with running(a, b):
        await until(lambda: a.dropped("key") > 3 and b.dropped("key") > 3)
        assert a.events == b.events == []


@on_loop
async def test_a_loop_that_was_late_does_not_send_what_it_missed() -> None:
    a, b = pair()
    async with running(a, b):
        await until(lambda: paths_heard(a) == paths_heard(b) == {ENI_0, ENI_1})
        sent = a.comm.counters().heartbeats_sent
        await until(lambda: a.comm.counters().heartbeats_sent > sent)
        sent = a.comm.counters().heartbeats_sent
        time.sleep(HEARTBEAT.interval_ms * 4.5 / 1_000)  # noqa: ASYNC251 - the loop is blocked on purpose
        await until(lambda: a.comm.counters().heartbeats_sent > sent)
        for _ in range(10):
            await asyncio.sleep(0)
        assert a.comm.counters().heartbeats_sent == sent + 2  # one on each path


@on_loop
async def test_a_message_to_a_peer_that_accepts_and_says_nothing_is_given_up_after_dead_after() -> None:
    port = free_port()
    (path, _), relay_at = two_paths(port), "127.10.0.9"
    a, b = Agent(A, redirected([path], ENI_0, B, relay_at)), Agent(B, [path])
    accepted: list[asyncio.StreamWriter] = []
    async with relaying(relay_at, address(B, ENI_0), port), running(a, b):
        server = await asyncio.start_server(lambda _, writer: accepted.append(writer), relay_at, port)
        await until(lambda: paths_heard(a))
        begun = clock_ms()
        a.comm.send(B, FORWARD)
        await until(lambda: a.dropped("undelivered") == 1)
        assert clock_ms() - begun >= HEARTBEAT.dead_after_ms - 1
        server.close()
        await server.wait_closed()
        for writer in accepted:
            writer.transport.abort()
        assert b.got(MessageHeard) == []


@on_loop
async def test_a_second_agent_on_the_same_address_is_refused() -> None:
    a, _ = pair()
    second = Agent(A, a.paths)
    async with running(a):
        await until(lambda: a.comm.counters().heartbeats_sent)
        with pytest.raises(OSError, match="Address already in use"):
            await second.comm.run()
