"""Who owns a hierarchy: registers, what must be on disk first, and what restarts and reboots mean."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agent.core.authority.contract import Standing
from agent.core.authority.liveness_based import LivenessBased
from agent.core.authority.registers import after_reboot, is_newer, released, taken
from agent.core.effects import Durable, Kind, Publish
from agent.core.events import Persisted
from agent.core.ids import Instant, NodeId
from agent.core.messages import Register
from agent.core.state import OwnershipLife
from agent.core.states import Action
from tests.spec.machine import HANGS
from tests.spec.reference import (
    CYDE,
    FS,
    GROUPWARE,
    A,
    B,
    bring,
    cluster,
    groupware,
    running,
    take_out,
)
from tests.spec.world import World


def owner(world: World, node: NodeId) -> NodeId | None:
    return world.node(node).mind.authority.register(GROUPWARE).owner


def kinds(world: World, node: NodeId) -> list[Kind]:
    return [notice.kind for _, teller, notice in world.notices if teller == node]


def test_a_takeover_is_on_disk_before_it_is_told_or_acted_on() -> None:
    world = running()
    machine = world.machines[B]
    machine.persist_ms = 700
    world.power_off(A)
    world.run(10_000)
    assert machine.agent is not None
    life = machine.agent.life
    told = next(
        event
        for event, effects in life
        for each in effects
        if isinstance(each, Publish) and each.report.hierarchies[0].register.owner == B
    )
    assert isinstance(told, Persisted)
    began = next(at for at, node, start in world.actions if node == B and start.action is Action.RESTORE)
    sought = next(
        at for at, _, notice in world.notices if notice.kind is Kind.OWNERSHIP_SOUGHT and at > 3_000
    )
    assert began >= sought + 700


def test_a_lost_owner_is_followed_by_the_other_node() -> None:
    world = running()
    world.power_off(A)
    world.run(4_000)
    assert world.in_service(GROUPWARE) == [B]
    assert owner(world, B) == B


def test_a_node_that_comes_back_leaves_the_hierarchy_where_it_went() -> None:
    world = running()
    world.power_off(A)
    world.run(10_000)
    world.boot(A)
    world.run(60_000)
    assert world.in_service(GROUPWARE) == [B]
    assert owner(world, A) == B


def test_of_two_owners_the_one_with_the_newer_register_goes_on_when_they_meet() -> None:
    world = running(may_part=True)
    world.network.part(A, B)
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [A, B]  # what quorum = "none" can't prevent
    world.network.heal()
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [B]
    assert world.occupied(GROUPWARE) == [B]
    assert Kind.OWNERSHIP_LOST in kinds(world, A)


def test_two_owners_of_one_term_agree_that_priority_decides() -> None:
    world = World(cluster(), may_part=True)
    world.network.part(A, B)
    world.start()
    world.run(40_000)
    assert world.in_service(GROUPWARE) == [A, B]
    world.network.heal()
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [A]


def test_with_a_full_disk_a_node_takes_nothing_over_and_says_so_once() -> None:
    world = running()
    world.machines[B].disk_full = True
    world.power_off(A)
    world.run(60_000)
    assert world.occupied(GROUPWARE) == []
    assert kinds(world, B).count(Kind.STORE_FAILED) == 1


def test_once_its_disk_has_room_again_it_does() -> None:
    world = running()
    world.machines[B].disk_full = True
    world.power_off(A)
    world.run(20_000)
    world.machines[B].disk_full = False
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [B]
    assert Kind.STORE_MENDED in kinds(world, B)


def test_a_full_disk_harms_nothing_that_runs_and_a_local_recovery_still_works() -> None:
    world = running()
    world.machines[A].disk_full = True
    world.breaks(A, CYDE)
    world.run(30_000)
    assert world.in_service(GROUPWARE) == [A]


def test_what_could_not_be_written_is_written_when_the_disk_has_room_again() -> None:
    world = running()
    world.machines[A].disk_full = True
    world.command(A, take_out())
    world.run(10_000)
    world.machines[A].disk_full = False
    world.run(5_000)
    kept = world.machines[A].disk.registers[0]
    assert kept.held
    assert kept.owner is None


def test_a_node_whose_disk_is_full_is_not_fit_until_a_write_succeeded() -> None:
    world = running()
    world.machines[B].disk_full = True
    world.power_off(A)
    for _ in range(40):  # whenever one looks
        world.run(150)
        if Kind.STORE_FAILED in kinds(world, B):
            assert "store can't be written" in world.node(B).mind.why_not_fit(
                GROUPWARE, world.machines[B].clock(world.now)
            )


def test_an_agent_restarted_on_a_running_machine_adopts_what_runs_and_touches_nothing() -> None:
    world = running()
    world.crash(A)
    world.run(1_000)
    seen = len(world.actions)
    world.start(A)
    world.run(20_000)
    done = {(node, start.action) for _, node, start in world.actions[seen:]}
    assert {action for _, action in done} == {Action.CHECK}
    assert world.in_service(GROUPWARE) == [A]
    assert Kind.ADOPTED in kinds(world, A)


def test_an_agent_restarted_while_its_peer_is_away_adopts_without_waiting() -> None:
    world = running()
    world.power_off(B)
    world.crash(A)
    world.run(5_000)
    world.start(A)
    world.run(100)
    assert Kind.ADOPTED in kinds(world, A)


def test_an_agent_restarted_in_the_middle_of_a_start_goes_on_with_it() -> None:
    world = World(cluster())
    world.start()
    world.run_until(lambda: bool(world.machines[A].working), within_ms=2_000)
    world.crash(A)
    world.run(500)
    world.start(A)
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [A]


def test_an_agent_that_was_away_for_long_finds_out_that_the_hierarchy_moved_and_leaves_nothing_behind() -> (
    None
):
    world = running(may_part=True)  # a dead agent's applications run on: "none" can't tell
    world.crash(A)
    world.breaks(A, CYDE)  # what is half broken must be removed as well
    world.run(10_000)
    assert world.in_service(GROUPWARE) == [B]
    world.start(A)
    world.run(10_000)
    assert world.occupied(GROUPWARE) == [B]


def test_an_agent_that_dies_while_it_stops_what_it_lost_finishes_that_in_its_next_life() -> None:
    world = running(may_part=True)
    world.network.part(A, B)
    world.run(5_000)
    world.script.once(A, FS, Action.REMOVE, HANGS)
    world.network.heal()
    world.run(2_000)
    assert world.occupied(GROUPWARE) == [A, B]
    world.breaks(A, FS)
    world.crash(A)
    world.start(A)
    world.run(2_000)
    assert world.occupied(GROUPWARE) == [B]


def test_a_rebooted_machine_runs_nothing_and_takes_its_hierarchy_up_again_when_its_peer_is_there() -> None:
    world = running()
    world.power_off(A)
    world.run(500)  # quicker than it could be missed
    world.boot(A)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [A], within_ms=5_000)
    assert Kind.ADOPTED not in kinds(world, A)


def test_each_takeover_is_one_term_later() -> None:
    world = running()
    terms = []
    for node in (B, A, B):
        world.command(A, bring(node))
        world.run(3_000)
        terms.append(world.node(A).mind.authority.register(GROUPWARE).term)
    assert all(later == earlier + 1 for earlier, later in pairwise(terms))


ONCE = Register(hierarchy=GROUPWARE)


def test_later_terms_and_later_revisions_are_newer() -> None:
    spec = groupware()
    mine = taken(ONCE, A, 1)
    theirs = taken(mine, B, 2)
    assert is_newer(theirs, mine, spec)
    assert is_newer(released(mine, successor=None, held=False), mine, spec)
    assert not is_newer(mine, mine, spec)


@pytest.mark.parametrize("other", [A, B])
def test_at_a_tie_both_sides_decide_alike(other: NodeId) -> None:
    spec = groupware()
    one, two = taken(ONCE, A, 1), taken(ONCE, B, 1)
    assert is_newer(one, two, spec)
    assert not is_newer(two, one, spec)
    held = released(ONCE, successor=None, held=True)
    later = taken(ONCE, other, 1)
    assert is_newer(held, later, spec)  # an operator's word beats a takeover of the same moment


def test_a_reboot_ends_only_what_the_machine_itself_owned() -> None:
    mine = taken(ONCE, A, 1)
    assert after_reboot(mine, B) is mine
    after = after_reboot(mine, A)
    assert (after.owner, after.previous, after.term) == (None, A, mine.term)


def test_a_takeover_that_waits_for_the_disk_gives_way_to_one_that_is_told() -> None:
    life = OwnershipLife(registers={GROUPWARE: ONCE})
    authority = LivenessBased(A, life, cluster(), Durable)
    authority.seek(GROUPWARE, Instant(1_000))
    authority.hear(taken(ONCE, B, 1), Instant(1_001))
    authority.persisted(2, Instant(1_002))
    assert authority.standing(GROUPWARE, Instant(1_002)) is Standing.NONE
    assert authority.register(GROUPWARE).owner == B
