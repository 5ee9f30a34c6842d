"""Commands given to a node that must hand them on."""

from __future__ import annotations

from agent.core.events import MessageHeard
from agent.core.ids import HierarchyId, NodeId, RequestId, Tag
from agent.core.messages import BringInService, Reply, TakeOutOfService
from tests.spec.reference import GROUPWARE, A, B, C, bring, groupware, recover, running, take_out

FOREIGN = Tag("ip-other")
LIMIT_MS = 5_000 + 500  # and two intervals until somebody looks at the clock


def test_a_command_given_to_any_node_is_carried_out_and_answered_there() -> None:
    world = running()
    request = world.command(B, bring(B))
    world.run(3_000)
    assert world.answers[request].accepted
    assert world.in_service(GROUPWARE) == [B]


def test_a_third_node_hands_on_as_well() -> None:
    world = running(groupware(nodes=(A, B, C)), nodes=(A, B, C))
    request = world.command(C, bring(B))
    world.run(3_000)
    assert world.answers[request].accepted
    assert world.in_service(GROUPWARE) == [B]


def test_a_node_that_can_never_run_the_hierarchy_hands_on_too() -> None:
    world = running(groupware(nodes=(A, B)), nodes=(A, B, C))
    request = world.command(C, take_out())
    world.run(3_000)
    assert world.answers[request].accepted
    assert world.occupied(GROUPWARE) == []


def test_if_the_other_node_dies_the_operator_hears_so_within_the_limit_however_busy_the_rest_is() -> None:
    world = running(nodes=(A, B, C))
    world.power_off(A)
    request = world.command(B, bring(C))
    world.run(LIMIT_MS)
    assert not world.answers[request].accepted
    assert "db-01 didn't answer" in world.answers[request].text


def test_a_late_answer_is_nobodys_any_more() -> None:
    world = running()
    world.power_off(A)
    request = world.command(B, take_out())
    world.run(LIMIT_MS)
    first = world.answers[request]
    machine = world.machines[B]
    assert machine.agent is not None
    late = Reply(request=request, accepted=True, text="done")
    world.step(machine, machine.agent, MessageHeard(machine.clock(world.now), A, late))
    assert world.answers[request] is first


def test_an_unknown_hierarchy_node_or_resource_is_refused_at_once() -> None:
    world = running()
    wrong = (
        (TakeOutOfService(hierarchy=HierarchyId("mail")), "no hierarchy called mail"),
        (
            BringInService(hierarchy=GROUPWARE, node=NodeId("db-09")),
            "db-09 isn't one of its nodes: db-01, db-02",
        ),
        (recover(tag=FOREIGN), "groupware has no resource called ip-other"),
    )
    for command, text in wrong:
        request = world.command(A, command)
        assert not world.answers[request].accepted
        assert text in world.answers[request].text


def test_two_requests_are_answered_each_for_itself() -> None:
    world = running()
    first, second = world.command(B, bring(A)), world.command(B, take_out())
    world.run(3_000)
    assert first != second != RequestId("")
    assert "already" in world.answers[first].text
    assert "out of service" in world.answers[second].text
