"""A share of the seeds, small enough for every run; `make simulate SEEDS=2000` does many more.

What the checkers look for is told at the top of `checkers`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.effects import Kind
from agent.core.messages import BringInService
from agent.core.states import Fencing, OnAuthorityLost
from tests.simulation import faults, mutants, options, run
from tests.simulation.world import World

SEEDS = int(os.environ.get("KAGE_SIMULATION_SEEDS", "4"))  # in each batch

KNOWN = {  # by which seed; `make mutants` looks for all of them, over many seeds
    "registers_are_kept_before_they_are_on_disk": 0,
    "votes_are_told_before_they_are_on_disk": 0,
    "votes_are_not_persisted": 0,
    "grants_count_from_receipt": 48,
    "promises_do_not_bind": 67,
    "a_voter_votes_twice_in_a_term": 207,
    "in_sync_is_ignored": 37,
    "the_arbiter_is_taken_at_once": 43,
    "the_arbiter_is_written_unconditionally": 443,
}


@pytest.mark.parametrize("batch", range(8))
def test_whatever_breaks_one_node_at_most_owns_it_and_it_is_well_once_all_is(batch: int) -> None:
    for seed in range(batch * SEEDS, (batch + 1) * SEEDS):
        chosen = options.draw(seed, scale=100)
        run.live(chosen, faults.draw(chosen))


ONCE_FAILED = {  # what was wrong, with the simulator unless it says so
    105_246: "a fault drew the end of its range",
    107_791: "a copy that its owner had added was held not to count while no majority knew whom it dropped",
    308_793: "the core's: what was released to a node waited for the pause after its denied campaigns",
    338_293: "a watchdog stood still with its suspended machine, without agent and guardian, and bit late",
    341_149: "the core's: an operator's wish overrode that the owner was stopped, whose services ran on",
    482_538: "the core's: a release that the store couldn't keep ended at a stroke what was granted since",
    589_174: "the core's: who lost its majority freed its voters while it was still stopping everything",
    691_448: "the core's: an agent that was stopping went on with nothing, not even with ending what it must",
    729_774: "a suspended machine's agent was stopped as well, and saw later how long it had been away",
    770_996: "a suspect that had come back was fenced before it was heard, when all seemed to be well",
    890_210: "the core's: who didn't hear the owner outbid it at once, without end, with a voter's help",
    322_317: "a switchback that begins late, when failures have timed out, was taken for a breakdown",
    108_028: "a machine that healing woke sent no heartbeats, and was fenced when all seemed to be well",
}


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_what_once_failed_passes(seed: int) -> None:
    chosen = options.draw(seed, scale=100)
    run.live(chosen, faults.draw(chosen))


@pytest.fixture
def healthy() -> World:
    return healthy_world(Fencing.NONE)


def healthy_world(fencing: Fencing) -> World:
    """Two nodes and an arbiter at the balanced preset, nothing in a takeover's way, in service a while."""
    chosen = next(each for seed in range(100) if _is_reference(each := options.draw(seed, scale=1)))
    (spec,) = chosen.cluster.hierarchies
    cluster = replace(
        chosen.cluster,
        hierarchies=(replace(spec, confirm=None),),
        fencing=fencing,
        isolation_check=False,
    )
    world = World(replace(chosen, cluster=cluster, drift={}, persist_ms=1, way_ms=1))
    assert world.run_until(lambda: run.well(world, spec.name), 30 * chosen.grant_ms)
    world.run(10 * chosen.grant_ms)
    return world


def _is_reference(chosen: options.Options) -> bool:
    cluster = chosen.cluster
    reboots = cluster.on_authority_lost is OnAuthorityLost.REBOOT
    return cluster.arbiter and len(cluster.nodes) == 2 == len(cluster.hierarchies) + 1 and reboots


def test_while_peers_grant_enough_the_arbiter_is_not_written_not_even_by_a_switchover(healthy: World) -> None:
    spec, writes = healthy.cluster.hierarchies[0], healthy.counts["arbiter writes"]
    (owner,) = healthy.holders(spec.name)
    other = next(node for node in healthy.cluster.nodes if node != owner)
    healthy.run(200 * healthy.options.grant_ms)
    healthy.command(owner, BringInService(hierarchy=spec.name, node=other))
    assert healthy.run_until(lambda: healthy.holders(spec.name) == [other], healthy.options.grant_ms)
    healthy.run(50 * healthy.options.grant_ms)
    assert healthy.holders(spec.name) == [other]
    assert healthy.counts["arbiter writes"] == writes


def test_an_arbiter_that_is_away_is_told_once_and_moves_nothing(healthy: World) -> None:
    spec, told = healthy.cluster.hierarchies[0], len(healthy.notices)
    holders, starts = healthy.holders(spec.name), healthy.counts["restores and recoveries"]
    healthy.arbiter.away = True
    healthy.run(600_000)
    kinds = [notice.kind for _, _, notice in healthy.notices[told:]]
    assert kinds == [Kind.ARBITER_TROUBLE] * len(healthy.cluster.nodes)
    assert (holders, starts) == (healthy.holders(spec.name), healthy.counts["restores and recoveries"])


def test_a_killed_owner_is_followed_as_soon_as_its_time_and_the_margin_are_over(healthy: World) -> None:
    spec, heartbeat = healthy.cluster.hierarchies[0], healthy.cluster.heartbeat
    (owner,) = healthy.holders(spec.name)
    killed_at, starts = healthy.now, healthy.counts["restores and recoveries"]
    healthy.power_off(owner)
    assert healthy.run_until(
        lambda: healthy.counts["restores and recoveries"] > starts, 10 * heartbeat.dead_after_ms
    )
    bound_ms = heartbeat.dead_after_ms * 1.01 + healthy.cluster.takeover_margin_ms + 50
    assert healthy.now - killed_at <= bound_ms + healthy.options.grant_ms // 40  # how often it is looked at


def test_all_is_well_only_once_a_fence_has_struck_the_machine_that_came_back_meanwhile() -> None:
    world = healthy_world(Fencing.BESIDE)
    spec, grant_ms = world.cluster.hierarchies[0], world.options.grant_ms
    (owner,) = world.holders(spec.name)
    world.power_off(owner)
    assert world.run_until(lambda: world.struck_by > world.now, 5 * grant_ms)
    world.boot(owner)
    assert world.run_until(lambda: run.well(world, spec.name), run.HEALED_WITHIN * grant_ms)
    assert world.counts["resets by a peer"] == 1
    world.run(run.STAYS_FOR * grant_ms)
    assert run.well(world, spec.name)


def test_an_agent_stopped_twice_speaks_again_once_nothing_stops_it(healthy: World) -> None:
    (owner,) = healthy.holders(healthy.cluster.hierarchies[0].name)
    other = next(node for node in healthy.cluster.nodes if node != owner)
    agent, interval_ms = healthy.machines[other].agent, healthy.cluster.heartbeat.interval_ms
    assert agent is not None
    for dice in (0.9, 0.1):  # the second one would end first
        faults.Faults(healthy).pause(faults.Fault(healthy.now, "pause", other, owner, dice))
        healthy.run(interval_ms)
    healthy.run(agent.stopped_until - healthy.now)
    spoken = agent.counter
    for _ in range(3):
        healthy.run(interval_ms)
        assert agent.counter > spoken
        spoken = agent.counter


@pytest.mark.parametrize(("name", "seed"), KNOWN.items())
def test_a_broken_protocol_is_noticed(name: str, seed: int) -> None:
    assert mutants.hunt(name, [seed]) is not None


def test_a_broken_protocol_is_noticed_and_shrunk_to_a_file_that_fails_again(
    tmp_path: Path,
) -> None:
    found = mutants.hunt("expiry_is_not_looked_at", range(60))
    assert found is not None
    with mutants.broken("expiry_is_not_looked_at"):
        chosen = options.draw(found[0], scale=100)
        schedule = faults.draw(chosen)
        shorter = run.shrunk(chosen, schedule, most_tries=20)
        path = run.written(chosen, shorter, 100, tmp_path)
        with pytest.raises(AssertionError):
            run.replay(path)
    assert len(shorter) < len(schedule)
