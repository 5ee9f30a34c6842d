"""What reports say of authority: votes, grants, the arbiter, and what a node waits for."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from agent.api.facade import Facade
from agent.api.quorum import authority_view, missing_votes, wait_view
from agent.api.reports import ArbiterView, AuthorityView, VoteView, WaitView
from agent.core.authority.seat import ARBITER
from agent.core.effects import Durable, Kind, Notice, Severity
from agent.core.ids import HierarchyId, Instant, NodeId
from agent.core.messages import ArbiterRecord, Confirm, Register
from agent.core.model import Confirmation
from agent.core.node import Node
from agent.core.states import Fencing, Quorum
from agent.runtime.agent import Agent
from agent.runtime.clock import boottime_ms
from agent.runtime.lifeline import Lifeline
from agent.runtime.reload import Reloader
from tests.runtime.inside import ME, NAME, make_agent, read_config, write_config
from tests.spec.reference import GROUPWARE, A, B, C, cluster, groupware, running
from tests.spec.world import World

MINUTE_MS = 60_000
THREE = {"quorum": Quorum.MAJORITY, "nodes": (A, B, C), "witnesses": (C,)}
ASKED = Confirmation(within_ms=MINUTE_MS, default=True)


def held(world: World, node: NodeId) -> AuthorityView:
    view = authority_view(world.node(node), GROUPWARE, world.machines[node].clock(world.now))
    assert view is not None
    return view


def waits(world: World, seen_from: NodeId, waiter: NodeId) -> WaitView | None:
    node = world.node(seen_from)
    reports = (
        node.state.published.hierarchies
        if waiter == seen_from and node.state.published is not None
        else [node.mind.reported(waiter, GROUPWARE)]
    )
    spec = node.state.cluster.hierarchy(GROUPWARE)
    return wait_view(node, spec, waiter, reports[0], world.machines[seen_from].clock(world.now))


def test_an_owner_counts_the_grants_of_the_others() -> None:
    world = running(groupware(nodes=(A, B)), **THREE)
    dead_after_ms = world.cluster.heartbeat.dead_after_ms
    view = held(world, A)
    assert view.standing == "held"
    assert view.left_ms is not None
    assert 0 < view.left_ms <= dead_after_ms
    assert {voter: vote.candidate for voter, vote in view.votes.items()} == {A: A, B: A, C: A}
    assert view.votes[A].left_ms is None, "nobody grants itself"
    assert all(0 < (view.votes[peer].left_ms or 0) <= dead_after_ms for peer in (B, C))
    standby = held(world, B)
    assert (standby.standing, standby.left_ms) == ("none", None)
    assert {vote.candidate for vote in standby.votes.values()} == {A}
    assert all(vote.left_ms is None for vote in standby.votes.values())


def test_without_quorum_there_is_no_claim_to_tell_of() -> None:
    world = running()
    assert authority_view(world.node(A), GROUPWARE, world.machines[A].clock(world.now)) is None


def test_votes_out_of_reach_are_told_once_the_next_loss_would_stop_everything() -> None:
    world = running(groupware(nodes=(A, B)), **THREE)
    assert missing_votes(world.node(A), None) == ""
    world.power_off(B)
    world.run(5_000)
    node = world.node(A)
    assert missing_votes(node, None) == (
        "2 of 3 votes are in reach (not db-02): if one more goes, nothing may run here"
    )
    alone = Node.starting(
        A,
        cluster(nodes=(A, B, C), quorum=Quorum.MAJORITY, arbiter=True),
        Durable(),
        Instant(1),
        same_boot=True,
    )
    assert missing_votes(alone, ArbiterView(kind="s3", trouble="throttled")) == (
        "1 of 4 votes are in reach (not the arbiter, db-02, db-03): nothing may run here"
    )
    assert missing_votes(running().node(A), None) == "", "nobody votes"


def test_a_failed_fencing_is_told_where_it_is_tried_and_its_victim_everywhere() -> None:
    world = running(groupware(nodes=(A, B)), fencing=Fencing.REQUIRED, **THREE)
    assert waits(world, A, A) is None
    world.fence_works = False
    world.power_off(A)
    world.run(MINUTE_MS // 2)
    here, there = waits(world, B, B), waits(world, C, B)
    assert here is not None
    assert (here.reason, here.lost) == ("fencing", [A])
    assert here.why
    assert there == WaitView(reason="fencing", lost=[A])


def test_without_quorum_the_owner_is_whom_fencing_is_about() -> None:
    world = running(fencing=Fencing.REQUIRED)
    world.fence_works = False
    world.power_off(A)
    world.run(10_000)
    found = waits(world, B, B)
    assert found is not None
    assert (found.reason, found.lost) == ("fencing", [A])


def test_at_a_cold_start_all_that_are_absent_are_to_be_fenced() -> None:
    world = World(cluster(fencing=Fencing.REQUIRED, startup_grace_ms=5_000, nodes=(A, B, C)))
    world.fence_works = False
    world.start(B)
    world.run(10_000)
    found = waits(world, B, B)
    assert found is not None
    assert found.lost == [A, C]
    world.node(B).state.fences[A].evidence = "off"
    found = waits(world, B, B)
    assert found is not None
    assert found.lost == [C]


def test_a_question_to_an_operator_is_told_with_its_end_and_its_answer() -> None:
    world = running(replace(groupware(nodes=(A, B)), confirm=ASKED), **THREE)
    world.power_off(A)
    world.run(10_000)
    here, there = waits(world, B, B), waits(world, C, B)
    assert here is not None
    assert (here.reason, here.lost, here.answered, here.default) == ("confirming", [A], None, True)
    assert here.default_time is not None
    assert 0 < here.default_time - time.time() < MINUTE_MS / 1_000
    assert there == WaitView(reason="confirming", lost=[A])
    world.command(C, Confirm(hierarchy=GROUPWARE, take=False))
    world.run(1_000)
    here = waits(world, B, B)
    assert here is not None
    assert here.answered is False


def test_a_node_that_is_cut_off_says_so() -> None:
    world = running(groupware(nodes=(A, B)), isolation_check=True, **THREE)
    world.reached[B] = 1
    world.power_off(A)
    world.run(10_000)
    assert waits(world, B, B) == WaitView(reason="isolated")


# Of an agent that has an arbiter; it doesn't run, so that nobody asks AWS anything


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    path = write_config(tmp_path)
    text = path.read_text().replace('quorum = "none"', 'quorum = "majority"')
    path.write_text(text + '[arbiter]\nkind = "dynamodb"\ntable = "kagemusha"\nregion = "ap-northeast-1"\n')
    made = make_agent(tmp_path, read_config(path))
    made.node = Node.starting(ME, made.config.cluster, Durable(), boottime_ms(), same_boot=True)
    return made


def test_an_arbiter_in_trouble_is_told_with_since_when(agent: Agent) -> None:
    assert agent.node is not None
    facade, seat = Facade(agent, Reloader(agent)), agent.node.state.quorum.seats[NAME]
    assert facade.status().arbiter == ArbiterView(kind="dynamodb")
    assert not any("arbiter" in each for each in facade.status().warnings)

    seat.arbiter.trouble = "AccessDenied"
    found = facade.status()
    assert found.arbiter == ArbiterView(kind="dynamodb", trouble="AccessDenied")
    assert "the arbiter's vote can't be had: AccessDenied" in found.warnings

    kind, severity = Kind.ARBITER_TROUBLE, Severity.ALARM
    for text in ("older", "newest"):
        agent.notices.add(Notice(at=boottime_ms(), kind=kind, severity=severity, text=text, hierarchy=NAME))
    newest = agent.notices.newest(1)[0].time
    found = facade.status()
    assert found.arbiter == ArbiterView(kind="dynamodb", trouble="AccessDenied", since_time=newest)
    assert any(each.startswith("the arbiter's vote can't be had (since ") for each in found.warnings)


def test_the_arbiters_vote_is_told_like_a_nodes(agent: Agent) -> None:
    assert agent.node is not None
    record = ArbiterRecord(register=Register(hierarchy=NAME), term=4, candidate=NodeId("b"))
    agent.node.state.quorum.seats[NAME].arbiter.record = record
    view = authority_view(agent.node, HierarchyId(NAME), boottime_ms())
    assert view is not None
    assert view.votes[ARBITER] == VoteView(candidate="b", term=4)


def test_what_does_not_guard_this_node_is_a_warning(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lifeline, "troubles", ["watchdog: no such device"])
    warnings = Facade(agent, Reloader(agent)).status().warnings
    assert "this node isn't guarded: watchdog: no such device" in warnings
