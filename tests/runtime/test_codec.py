"""Whatever a journal holds comes back as it was; anything else is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import pytest

from agent.core.effects import Durable, Effect, Failure, Publish, Send
from agent.core.events import (
    ActionFinished,
    ArbiterAnswered,
    CommandGiven,
    ConfigLoaded,
    Departing,
    Event,
    FencingEnded,
    HeartbeatHeard,
    KitAnswered,
    MessageHeard,
    OutsideProbed,
    PeerLeft,
    Persisted,
    PersistFailed,
    ReplicasChanged,
    ReportHeard,
    Stopping,
    Tick,
)
from agent.core.ids import ActionId, HierarchyId, Instant, NodeId, PathId, RequestId, Tag
from agent.core.messages import (
    ArbiterRecord,
    AskKit,
    BringInService,
    Command,
    Confirm,
    Forward,
    HierarchyReport,
    Message,
    Recover,
    Register,
    Reply,
    Report,
    ResourceReport,
    Stance,
    TakeOutOfService,
    TrustReplica,
    VoteRecord,
    VoteReply,
    VoteRequest,
)
from agent.core.model import Cluster, CommPath, Hierarchy, Limits, Resource
from agent.core.node import Node
from agent.core.states import (
    Action,
    ArbiterOutcome,
    Outcome,
    Phase,
    Quorum,
    Reason,
    ResourceState,
    Switchback,
)
from agent.runtime.codec import (
    BadRecord,
    checksum,
    decode_entry,
    decode_header,
    encode_entry,
    encode_header,
)

A, B, ENI = NodeId("db-01"), NodeId("db-02"), PathId("eni-0")
NAME, TAG, AT = HierarchyId("garoon"), Tag("ip-vip"), Instant(2**41)
REQUEST = RequestId("db-01-ffff-1")
VOTE = VoteRecord(hierarchy=NAME, term=3, candidate=A)
REPORT = Report(
    revision=7,
    hierarchies=(
        HierarchyReport(
            register=Register(
                hierarchy=NAME, term=3, revision=9, owner=A, previous=B, held=True, in_sync=(A, B)
            ),
            stance=Stance(claims=3, gave_up=2, vote=VoteRecord(hierarchy=NAME, term=3, candidate=A)),
            waits_for=Reason.FENCING,
            phase=Phase.STUCK,
            probed=True,
            eligible=False,
            why_not='quotes ", a newline \n, umlauts ä and 影武者',
            resources=(
                ResourceReport(tag=TAG, state=ResourceState.ISU, action=Action.FORCE_REMOVE, why="?"),
            ),
        ),
    ),
)
CLUSTER = Cluster(
    name="garoon",
    nodes=(A, B),
    paths=(CommPath(name=ENI, priority=1),),
    hierarchies=(
        Hierarchy(
            name=NAME,
            nodes=(A, B),
            switchback=Switchback.AUTOMATIC,
            resources=(
                Resource(tag=Tag("fs"), kit="filesystem", limits=Limits(remove_ms=5), local_recovery=False),
                Resource(tag=TAG, kit="ip", depends_on=(Tag("fs"),)),
            ),
        ),
    ),
)
COMMANDS: list[Command] = [
    BringInService(hierarchy=NAME, node=A),
    BringInService(hierarchy=NAME),
    TakeOutOfService(hierarchy=NAME),
    Recover(hierarchy=NAME, tag=TAG, here_only=True),
    Confirm(hierarchy=NAME, take=False),
    TrustReplica(hierarchy=NAME, node=A, first=True),
    AskKit(hierarchy=NAME, tag=TAG, node=B, verb="pause", arguments=(("node", "a"),)),
]
REGISTER = Register(hierarchy=NAME, term=4, revision=11, owner=B, unattended=True, suspects=(A,))
MESSAGES: list[Message] = [
    *(Forward(request=REQUEST, command=command) for command in COMMANDS),
    Reply(request=REQUEST, accepted=False, text="no"),
    VoteRequest(hierarchy=NAME, term=4, register=REGISTER),
    VoteReply(hierarchy=NAME, term=4, granted=True, register=REGISTER),
]
EVENTS: list[Event] = [
    HeartbeatHeard(AT, B, ENI, 2**64 - 1, Instant(5)),
    HeartbeatHeard(AT, B, ENI, 2**64 - 1, None, revision=3),
    *(
        ArbiterAnswered(AT, 5, outcome, ArbiterRecord(register=REGISTER, term=4, candidate=B), "v1", "why")
        for outcome in ArbiterOutcome
    ),
    OutsideProbed(AT, 1, 3),
    FencingEnded(AT, B, fenced=True, text="i-0abc is stopped"),
    KitAnswered(AT, REQUEST, accepted=True, text="paused"),
    ReplicasChanged(AT, NAME, TAG, (A, B)),
    ReportHeard(AT, B, 1, REPORT),
    PeerLeft(AT, B, 1),
    *(MessageHeard(AT, B, message) for message in MESSAGES),
    *(ActionFinished(AT, ActionId(4), outcome, "why\n\x00\x1b[31m") for outcome in Outcome),
    Persisted(AT, 12),
    PersistFailed(AT, 13, "disk full"),
    *(CommandGiven(AT, REQUEST, command) for command in COMMANDS),
    ConfigLoaded(AT, CLUSTER),
    Tick(AT),
    Departing(AT),
    Stopping(AT),
]
EFFECTS: list[Effect] = [Publish(REPORT), Send(B, MESSAGES[0])]


def test_every_kind_there_is_is_tried_here() -> None:
    assert {type(each) for each in EVENTS} == set(get_args(Event))
    assert {type(each) for each in MESSAGES} == set(get_args(Message))
    assert {type(each) for each in COMMANDS} == set(get_args(Command))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    line = encode_entry(event, EFFECTS)
    assert b"\n" not in line
    assert decode_entry(line) == (event, checksum(EFFECTS))
    assert decode_entry(encode_entry(event, [])) == (event, 0)


@pytest.mark.parametrize("quorum", Quorum)
def test_a_nodes_state_comes_back_as_it_was_and_goes_on_alike(quorum: Quorum) -> None:
    failure = Failure(hierarchy=NAME, tag=TAG, until=Instant(2**42), why="no")
    register = Register(hierarchy=NAME, term=1, revision=2, owner=A, in_sync=(A,))
    durable = Durable(registers=(register,), failures=(failure,))
    node = Node.starting(A, replace(CLUSTER, quorum=quorum, arbiter=True), durable, AT, same_boot=True)
    events: list[Event] = [
        Tick(AT),
        HeartbeatHeard(AT, B, ENI, 2**63, Instant(AT - 1)),
        ReportHeard(AT, B, 2**63, REPORT),
        ActionFinished(AT, ActionId(1), Outcome.OK),
        ActionFinished(AT, ActionId(2), Outcome.UNKNOWN, "no answer"),
        CommandGiven(AT, REQUEST, COMMANDS[0]),
        PersistFailed(AT, 1, "full"),
        Tick(Instant(AT + 700)),
        Stopping(Instant(AT + 800)),
    ]
    for event in events:
        header = decode_header(encode_header("0.1.0", node.state))
        assert header.state == node.state
        other = Node(header.state)
        effects = node.step(event)
        assert other.step(event) == effects
        assert checksum(effects) == checksum(list(effects))
        assert other.state == node.state


def test_other_decisions_have_another_checksum() -> None:
    sums = {checksum([]), checksum(EFFECTS), checksum(EFFECTS[:1]), checksum(EFFECTS[::-1])}
    assert len(sums) == 4
    assert checksum([]) == 0


GOOD: dict[str, Any] = {"kind": "Tick", "at": 5}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"event":"\xff"}',
        b'"text"',
        b"{}",
        *(
            json.dumps({"event": event, "decided": 0}).encode()
            for event in (
                {},
                {"at": 5},
                {"kind": "Tock", "at": 5},
                {"kind": "NodeState", "at": 5},
                {"kind": ["Tick"], "at": 5},
                {"kind": "Tick"},
                {"kind": "Tick", "at": "now"},
                {"kind": "Tick", "at": 5, "more": 1},
                {"kind": "MessageHeard", "at": 5, "peer": "b", "message": "hello"},
                {"kind": "MessageHeard", "at": 5, "peer": "b", "message": None},
                {"kind": "MessageHeard", "at": 5, "peer": "b", "message": {"kind": "Reply"}},
                {"kind": "ActionFinished", "at": 5, "action": 1, "outcome": "so-so"},
            )
        ),
        json.dumps({"event": GOOD, "decided": "no"}).encode(),
    ],
)
def test_what_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(BadRecord):
        decode_entry(line)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"\xff", b'{"kagemusha":"1","state":{}}', encode_entry(Tick(AT), [])]
)
def test_what_is_no_header_is_refused(line: bytes) -> None:
    with pytest.raises(BadRecord):
        decode_header(line)
