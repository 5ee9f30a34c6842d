"""Safety and liveness when anything may break at any moment; each world is a seed.

The rules (see `rules`) are checked after each step. When all is well again, every hierarchy must be in
service on exactly one node within `HEALED_WITHIN_MS`, unless an operator holds it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from agent.core.effects import StartAction
from agent.core.ids import NodeId
from agent.core.messages import BringInService, Command, Recover, TakeOutOfService
from agent.core.model import Heartbeat, Hierarchy, Limits, Resource
from agent.core.states import Action, Outcome, Switchback
from tests.spec.machine import Turn
from tests.spec.reference import CHAIN, ENI_0, ENI_1, GROUPWARE, A, B, C, chain, cluster, groupware
from tests.spec.world import World

HEARTBEAT = Heartbeat(interval_ms=1_000, dead_after_ms=6_000)  # rare, so that a seed costs little
SEEDS = int(os.environ.get("KAGE_TEST_SEEDS", "5"))  # in each batch; a nightly run may try thousands
FAULTS, FAULT_EACH_MS = 40, 3_000
FAILURE_TIMEOUT_MS = 60_000
HEALED_WITHIN_MS = FAILURE_TIMEOUT_MS + 60_000
LIMITS = Limits(restore_ms=5_000, remove_ms=5_000, check_ms=2_000, recover_ms=5_000)


class Chaos:
    """One seed's cluster and its misfortunes."""

    def __init__(self, seed: int, *, partitions: bool) -> None:
        self.random, self.partitions = Random(seed), partitions
        nodes = self.random.choice(((A, B), (A, B, C)))
        self.world = World(
            cluster(self._hierarchy(nodes), nodes=nodes, heartbeat=HEARTBEAT), seed=seed, may_part=partitions
        )
        self._back_at: dict[NodeId, int] = {}

    def _hierarchy(self, nodes: tuple[NodeId, ...]) -> Hierarchy:
        some = {"limits": LIMITS, "check_interval_ms": 5_000}
        resources: tuple[Resource, ...] = chain(*CHAIN[: self.random.randint(1, 4)], **some)
        if self.random.random() < 0.3:  # a fork: two parents of the lowest
            resources = (
                *chain(*CHAIN[:2], **some),
                replace(chain(CHAIN[2], **some)[0], depends_on=CHAIN[:1]),
            )
        return groupware(
            nodes=nodes,
            resources=resources,
            switchback=self.random.choice(tuple(Switchback)),
            failure_timeout_ms=FAILURE_TIMEOUT_MS,
        )

    def live(self) -> None:
        """Start, and let one misfortune follow another."""
        self.world.start()
        self.world.script.any_turn = self._turn
        for _ in range(FAULTS):
            self.world.run(self.random.randrange(FAULT_EACH_MS))
            self.random.choice(self._misfortunes())()

    def heal(self) -> None:
        """Everything works again, and every machine has an agent."""
        world = self.world
        world.network.heal()
        world.script.well()
        for machine in world.machines.values():
            machine.disk_full, machine.persist_ms = False, 2
            if not machine.powered:
                world.boot(machine.name)
            elif machine.agent is None:
                world.start(machine.name)

    def well(self) -> bool:
        """In service on one node and nowhere else; or held, and nowhere."""
        world = self.world
        registers = [world.node(name).mind.authority.register(GROUPWARE) for name in world.machines]
        if any(each != registers[0] for each in registers):
            return False
        if registers[0].held:
            return world.occupied(GROUPWARE) == []
        serving = world.in_service(GROUPWARE)
        return serving == world.occupied(GROUPWARE) == [registers[0].owner]

    def _turn(self, start: StartAction) -> Turn | None:
        dice = self.random.random()
        takes_ms = self.random.randrange(1, 400)
        if dice < 0.03:
            return Turn(hangs=True)
        if dice < 0.06 and start.action not in {Action.REMOVE, Action.FORCE_REMOVE}:
            return Turn(Outcome.UNKNOWN, takes_ms, "no answer")
        if dice < 0.12:
            return Turn(Outcome.FAILED, takes_ms, "bad luck")
        return None if start.action is Action.CHECK else Turn(takes_ms=takes_ms)

    def _misfortunes(self) -> list[Callable[[], object]]:
        world, name = self.world, self.random.choice(self.world.cluster.nodes)
        machine, any_tag = world.machines[name], self.random.choice(CHAIN)
        if not machine.powered:
            return [lambda: world.boot(name)]
        if machine.agent is None:
            return (
                [lambda: world.start(name), lambda: world.power_off(name)]
                if not self._returns(name)
                else [int]
            )
        if world.asleep(machine):
            return [lambda: world.power_off(name)]
        absences = [lambda: self._crash(name), lambda: self._pause(name)]
        return [
            *(absences if self.partitions or self._was_heard_since(name) else []),
            lambda: world.power_off(name),
            lambda: world.stop(name),
            lambda: world.breaks(name, any_tag),
            lambda: setattr(machine, "disk_full", not machine.disk_full),
            lambda: setattr(machine, "persist_ms", self.random.choice((1, 5, 50))),
            lambda: world.command(name, self._command()),
            self._weather,
        ]

    def _crash(self, name: NodeId) -> None:
        self.world.crash(name)
        self.world.at(self._absent(name), lambda: self._back(name))

    def _pause(self, name: NodeId) -> None:
        self.world.pause(name, self._absent(name) - self.world.now)

    def _absent(self, name: NodeId) -> int:
        """Until when. Without partitions it is back before it is missed: of an agent that is away for longer
        mode none can't tell that its applications go on, and starts them elsewhere."""
        self._back_at[name] = self.world.now + self.random.randrange(1, 20_000 if self.partitions else 2_000)
        return self._back_at[name]

    def _was_heard_since(self, name: NodeId) -> bool:
        """Or would one absence follow another?"""
        return self.world.now - self._back_at.get(name, 0) > HEARTBEAT.dead_after_ms

    def _back(self, name: NodeId) -> None:
        machine = self.world.machines[name]
        if machine.powered and machine.agent is None:
            self.world.start(name)

    def _returns(self, name: NodeId) -> bool:
        return self._back_at.get(name, 0) >= self.world.now

    def _command(self) -> Command:
        node = self.random.choice((None, *self.world.cluster.nodes))
        tag = self.random.choice(self.world.cluster.hierarchies[0].resources).tag
        return self.random.choice(
            (
                BringInService(hierarchy=GROUPWARE, node=node),
                BringInService(hierarchy=GROUPWARE, node=node),
                TakeOutOfService(hierarchy=GROUPWARE),
                Recover(hierarchy=GROUPWARE, tag=tag),
            )
        )

    def _weather(self) -> None:
        """Late and lost; one path cut, or any."""
        network, nodes = self.world.network, self.world.cluster.nodes
        network.heal()
        network.late_ms = self.random.choice((0, 5, 300))
        network.message_loss = self.random.choice((0.0, 0.3))
        if self.partitions:
            network.loss = self.random.choice((0.0, 0.0, 0.3))
        for _ in range(self.random.randrange(5)):
            one, other = self.random.sample(nodes, 2)
            network.cut(self.random.choice((ENI_0, ENI_1)) if self.partitions else ENI_0, one, other)


def live_and_heal(seed: int, *, partitions: bool) -> None:
    chaos = Chaos(seed, partitions=partitions)
    try:
        chaos.live()
        chaos.heal()
        assert chaos.world.run_until(chaos.well, HEALED_WITHIN_MS), "not well again"
        chaos.world.run(20_000)
        assert chaos.well(), "well, but not for long"
    except AssertionError as broken:
        broken.add_note(
            f"seed {seed}, partitions {partitions}, {len(chaos.world.notices)} notices; the last:"
        )
        for at, node, notice in chaos.world.notices[-25:]:
            broken.add_note(f"{at:>8} {node} {notice.kind.value} {notice.tag or ''} {notice.text}")
        raise


@pytest.mark.parametrize("batch", range(10))
def test_living_nodes_that_hear_each_other_never_run_it_twice_and_always_run_it_again(batch: int) -> None:
    for seed in range(batch * SEEDS, (batch + 1) * SEEDS):
        live_and_heal(seed, partitions=False)


@pytest.mark.parametrize("batch", range(10))
def test_parted_nodes_keep_every_other_rule_and_run_it_on_one_once_they_meet(batch: int) -> None:
    for seed in range(batch * SEEDS, (batch + 1) * SEEDS):
        live_and_heal(seed, partitions=True)
