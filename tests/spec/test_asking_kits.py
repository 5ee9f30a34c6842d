"""What an operator asks of one kit reaches it on whatever node, and the answer comes back."""

from __future__ import annotations

from agent.core.effects import Answer, Kind
from agent.core.ids import NodeId, Tag
from agent.core.messages import AskKit
from tests.spec.reference import FS, GROUPWARE, A, B, running, take_out
from tests.spec.seen import of_kind
from tests.spec.world import World


def ask(world: World, at: NodeId, node: NodeId | None, *, verb: str = "pause", tag: Tag = FS) -> Answer:
    request = world.command(at, AskKit(hierarchy=GROUPWARE, tag=tag, node=node, verb=verb))
    assert world.run_until(lambda: request in world.answers, within_ms=6_000)
    return world.answers[request]


def test_a_kit_answers_wherever_it_is_asked_from() -> None:
    world = running()
    for at in (A, B):
        for node in (A, B):
            answer = ask(world, at, node)
            assert (answer.accepted, answer.text) == (True, f"pause of fs-dir1 on {node}")
        assert ask(world, at, None).text == "pause of fs-dir1 on db-01"  # where it is in service
    assert all(world.node(each).state.asked_kits == {} for each in (A, B))


def test_what_was_done_is_told_and_what_was_only_looked_at_is_not() -> None:
    world = running()
    ask(world, B, A)
    told = [each.text for each in of_kind(world, Kind.COMMAND)]
    assert told == ["kit: pause fs-dir1: pause of fs-dir1 on db-01"]
    ask(world, B, A, verb="details")
    assert [each.text for each in of_kind(world, Kind.COMMAND)] == told


def test_what_cannot_be_asked_is_refused_with_the_reason() -> None:
    world = running()
    assert ask(world, A, A, tag=Tag("nothing")).text == "groupware has no resource called nothing"
    assert ask(world, A, NodeId("db-09")).text == "db-09 isn't one of its nodes: db-01, db-02"
    world.power_off(B)
    world.run(5_000)
    assert ask(world, A, B).text == "db-02 is lost"
    world.command(A, take_out())
    world.run(2_000)
    assert ask(world, A, None).text == "groupware is in service nowhere; name a node"
