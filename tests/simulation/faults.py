"""What befalls a cluster: a schedule drawn beforehand, so that it can be shrunk by leaving faults out.

A fault that makes no sense when its time comes (to boot what runs) does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from agent.core.ids import HierarchyId, NodeId
from agent.core.messages import BringInService, Command, Confirm, Recover, TakeOutOfService
from tests.simulation.network import Link, Weather
from tests.simulation.options import PATHS, Options
from tests.simulation.world import World


@dataclass(frozen=True)
class Fault:
    """`kind` is a method of `Faults`; `dice` is all the chance it has."""

    at: int
    kind: str
    node: NodeId
    other: NodeId
    dice: float

    def __str__(self) -> str:
        return f"{self.at:>10} {self.kind:<12} {self.node} {self.other} {self.dice:.4f}"


def parse(line: str) -> Fault:
    """The other way round."""
    at, kind, node, other, dice = line.split()
    return Fault(int(at), kind, NodeId(node), NodeId(other), float(dice))


def draw(options: Options) -> list[Fault]:
    """Same options, same faults."""
    random, at = Random(options.seed + 1_000_000_007), options.grant_ms * 6
    kinds, weights = list(KINDS), list(KINDS.values())
    faults = []
    for _ in range(options.faults):
        at += random.randrange(options.fault_every_ms * 2)
        node, other = random.sample(options.cluster.nodes, 2)
        kind = random.choices(kinds, weights)[0]
        faults.append(Fault(at, kind, node, other, min(round(random.random(), 4), 0.9999)))
    return faults


class Faults:
    """Does them to a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._grant_ms = world.options.grant_ms

    def schedule(self, faults: list[Fault]) -> None:
        """Each at its time."""
        for each in faults:
            self._world.at(each.at, self._do, each)

    def heal(self) -> None:
        """Everything works again, and every machine has an agent; by now nobody stands still."""
        world = self._world
        assert world.all_go_on_at() <= world.now, world.now
        world.network.heal()
        world.arbiter.heal()
        world.kits.bad = 0.0
        for machine in world.machines.values():
            machine.disk_full, machine.persist_ms, machine.slow = False, world.options.persist_ms, 1
            if self._departs(machine.name):
                world.crash(machine.name)
            world.boot(machine.name)
            world.start(machine.name)

    def _do(self, fault: Fault) -> None:
        do: Callable[[Fault], None] = getattr(self, fault.kind)
        self._world.counts[f"fault {fault.kind}"] += 1
        do(fault)

    # Machines

    def crash(self, fault: Fault) -> None:
        """The agent is killed, and comes back."""
        self._world.crash(fault.node)
        self._world.at(self._world.now + self._span(fault.dice, 4), self._world.start, fault.node)

    def kill(self, fault: Fault) -> None:
        """The power goes, and returns."""
        self._world.power_off(fault.node)
        self._world.at(self._world.now + self._span(fault.dice, 40), self._world.boot, fault.node)

    def stop(self, fault: Fault) -> None:
        """The agent is stopped in good order, and started again."""
        self._world.stop(fault.node)
        self._world.at(self._world.now + self._span(fault.dice, 10), self._world.start, fault.node)

    def shut_down(self, fault: Fault) -> None:
        """The machine is shut down in good order, or in a hurry, and returns; test_shutdown.py draws it."""
        world, node, patience_ms = self._world, fault.node, self._span(fault.dice, 8)
        world.depart(node)
        world.at(world.now + patience_ms, self._stop_departing, fault)
        world.at(world.now + 2 * patience_ms, self._switch_off_departed, fault)

    def _stop_departing(self, fault: Fault) -> None:
        if self._departs(fault.node):
            self._world.stop(fault.node)

    def _switch_off_departed(self, fault: Fault) -> None:
        machine = self._world.machines[fault.node]
        if self._departs(fault.node) or (machine.powered and machine.agent is None):
            self._world.power_off(fault.node)
            self._world.at(
                self._world.now + self._span(fault.dice * 10 % 1, 20), self._world.boot, fault.node
            )

    def _departs(self, node: NodeId) -> bool:
        agent = self._world.machines[node].agent
        return agent is not None and agent.node.state.departing

    def sleep(self, fault: Fault) -> None:
        """The machine is suspended."""
        self._world.sleep(fault.node, self._span(fault.dice, 8))

    def pause(self, fault: Fault) -> None:
        """The agent is stopped by SIGSTOP, and goes on; its machine doesn't stop."""
        if (agent := self._world.machines[fault.node].agent) is not None:
            goes_on_at = self._world.now + self._span(fault.dice, 4)
            agent.stopped_until = max(agent.stopped_until, goes_on_at)

    def disk(self, fault: Fault) -> None:
        """Full, slow, or well."""
        machine = self._world.machines[fault.node]
        machine.disk_full = fault.dice < 0.3
        slower_ms = int(self._grant_ms * max(0.0, fault.dice - 0.5) ** 2 * 8)
        machine.persist_ms = self._world.options.persist_ms + slower_ms

    def kits(self, fault: Fault) -> None:
        """They fail, hang, aren't answered; or are well; or slow on one node."""
        self._world.kits.bad = max(0.0, fault.dice - 0.7)
        self._world.machines[fault.node].slow = 1 + int(fault.dice * 40) % 20

    def breaks(self, fault: Fault) -> None:
        """Something stops working by itself."""
        working = sorted(self._world.machines[fault.node].working)
        if working:
            self._world.machines[fault.node].working.discard(working[int(fault.dice * len(working))])

    # The network

    def cut_off(self, fault: Fault) -> None:
        """A node from everybody, perhaps from the arbiter too; for a while or until all is healed."""
        for peer in self._world.machines:
            if peer != fault.node:
                self._cut(fault.node, peer, both=True)
        if fault.dice < 0.5:
            self._world.arbiter.unreachable.add(fault.node)
        if fault.dice * 10 % 1 < 0.7:
            self._world.at(self._world.now + self._span(fault.dice * 100 % 1, 10), self.mend, fault)

    def part(self, fault: Fault) -> None:
        """Two nodes from each other, both ways or one."""
        self._cut(fault.node, fault.other, both=fault.dice < 0.5)

    def path(self, fault: Fault) -> None:
        """One path, one way."""
        self._world.network.cuts.add((PATHS[fault.dice < 0.5], fault.node, fault.other))

    def split(self, fault: Fault) -> None:
        """The cluster into two halves; the arbiter is reached from one of them, both, or none."""
        nodes = list(self._world.cluster.nodes)
        side = {node for i, node in enumerate(nodes) if int(fault.dice * 10_000) >> i & 1}
        for one in sorted(side):
            for other in nodes:
                if other not in side:
                    self._cut(one, other, both=True)
        self._world.arbiter.unreachable.update(side if fault.node in side else ())

    def weather(self, fault: Fault) -> None:
        """Loss, delay, doubling: on one path one way, between two nodes, at one node, or everywhere."""
        network, dice = self._world.network, int(fault.dice * 10_000)
        weather = Weather(
            loss=(0.0, 0.0, 0.1, 0.4)[dice % 4],
            doubled=(0.0, 0.2)[dice // 4 % 2],
            late_ms=int(self._grant_ms * (0.0, 0.01, 0.1, 1.5)[dice // 8 % 4]),
        )
        scope: tuple[Callable[[Link], bool], ...] = (
            lambda link: link == (PATHS[dice // 128 % 2], fault.node, fault.other),
            lambda link: {fault.node, fault.other} == {link[1], link[2]},
            lambda link: fault.node in link[1:],
            lambda _: True,
        )
        for link in filter(scope[dice // 32 % 4], network.links):
            network.weather[link] = weather

    def mend(self, fault: Fault) -> None:
        """The whole network, or what was cut at one node."""
        network = self._world.network
        if fault.kind == "mend" and fault.dice < 0.5:
            network.heal()
            self._world.arbiter.heal()
        network.cuts = {link for link in network.cuts if fault.node not in link}
        network.weather = {link: each for link, each in network.weather.items() if fault.node not in link}
        self._world.arbiter.unreachable.discard(fault.node)

    def arbiter(self, fault: Fault) -> None:
        """Away, refusing, lossy, late, unreachable for some; or well."""
        arbiter = self._world.arbiter
        match int(fault.dice * 6):
            case 0:
                arbiter.away = True
            case 1:
                arbiter.refuses = True
            case 2:
                arbiter.loses = 0.5
            case 3:
                arbiter.late_ms = self._grant_ms * (1 + int(fault.dice * 600) % 4)
            case 4:
                arbiter.unreachable.add(fault.node)
            case _:
                arbiter.heal()

    # People

    def command(self, fault: Fault) -> None:
        """An operator asks for something."""
        hierarchies = self._world.cluster.hierarchies
        spec = hierarchies[int(fault.dice * 100) % len(hierarchies)]
        name: HierarchyId = spec.name
        wishes: tuple[Command, ...] = (
            BringInService(hierarchy=name, node=fault.other),
            BringInService(hierarchy=name),
            TakeOutOfService(hierarchy=name),
            Recover(hierarchy=name, tag=spec.resources[0].tag),
            Confirm(hierarchy=name, take=fault.dice < 0.9),
        )
        self._world.command(fault.node, wishes[(0, 0, 0, 1, 2, 3, 4)[int(fault.dice * 7)]])

    # Shared

    def _cut(self, one: NodeId, other: NodeId, *, both: bool) -> None:
        for path in PATHS:
            self._world.network.cuts.add((path, one, other))
            if both:
                self._world.network.cuts.add((path, other, one))

    def _span(self, dice: float, most_grants: int) -> int:
        """Short ones are as likely as long ones."""
        return 1 + int(self._grant_ms * most_grants * dice * dice)


KINDS = {
    "crash": 3, "kill": 3, "stop": 1, "sleep": 2, "pause": 2, "disk": 2, "kits": 1, "breaks": 1,
    "cut_off": 4, "part": 3, "split": 2, "path": 2, "weather": 4, "mend": 4, "arbiter": 4, "command": 4,
}  # fmt: skip
