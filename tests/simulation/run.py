"""One seed from its beginning to its end: any fault, then healing, then service within a bound.

A seed that fails is shrunk (faults are left out while it still fails) and can be written to a file,
which `replay` runs again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from agent.core.effects import Kind
from agent.core.ids import HierarchyId
from tests.simulation import faults as drawn
from tests.simulation import options as options_of
from tests.simulation.faults import Fault, Faults
from tests.simulation.options import Options
from tests.simulation.violation import Violation
from tests.simulation.world import World

HEALED_WITHIN = 150  # times G: failures time out, machines boot, campaigns are tried again
AFTERMATH = 3  # times G: a watchdog that wasn't fed in time may bite yet
STAYS_FOR = 5  # times G


@dataclass
class Figures:
    """What runs were worth."""

    worlds: int = 0
    simulated_ms: int = 0
    grants: int = 0  # of the same time, in units of G
    faults: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, world: World) -> None:
        """One more world."""
        self.worlds += 1
        self.simulated_ms += world.now
        self.grants += world.now // world.options.grant_ms
        self.faults += sum(n for what, n in world.counts.items() if what.startswith("fault "))
        self.counts += world.counts

    def take_in(self, others: Figures) -> None:
        """More of the same."""
        for name, value in vars(others).items():
            setattr(self, name, getattr(self, name) + value)


def live(options: Options, faults: list[Fault]) -> World:
    """Raises Violation."""
    with options_of.scaled(options.scale):
        return _live(options, faults)


def _live(options: Options, faults: list[Fault]) -> World:
    world = World(options)
    what = Faults(world)
    what.schedule(faults)
    last = faults[-1].at if faults else 0
    try:
        world.run(last + 3 * options.grant_ms)
        world.run(max(0, world.all_go_on_at() - world.now))
        what.heal()
        world.run(AFTERMATH * options.grant_ms)
        names = [each.name for each in options.cluster.hierarchies]
        for name in names:
            _becomes_well(world, name)
        settled = len(world.notices)
        world.run(STAYS_FOR * options.grant_ms)
        for name in names:
            if not well(world, name) and not _was_moved(world, name, settled):
                raise Violation(f"(5) {name} was well, but not for long: {seen(world)}")
            _becomes_well(world, name)
    except (Violation, AssertionError) as broken:
        broken.add_note(story(world))
        raise
    return world


def _becomes_well(world: World, name: HierarchyId) -> None:
    bound_ms = HEALED_WITHIN * world.options.grant_ms
    if not world.run_until(lambda: well(world, name), bound_ms):
        raise Violation(f"(5) {name} isn't well {bound_ms} ms after everything was: {seen(world)}")


def _was_moved(world: World, name: HierarchyId, since: int) -> bool:
    """In good order: a node whose failures timed out only now takes back what it has priority for."""
    return any(
        each.kind is Kind.MOVE_BEGUN and each.hierarchy == name for _, _, each in world.notices[since:]
    )


def well(world: World, name: HierarchyId) -> bool:
    """In service on its owner and nowhere else; or held, and nowhere.

    Not while a fence is on its way, or will be: a machine that came back meanwhile is struck all the same.
    """
    if world.struck_by >= world.now:
        return False
    agents = [each.agent for each in world.machines.values()]
    registers = [each.node.mind.authority.register(name) for each in agents if each is not None]
    if len(registers) < len(agents) or any(each != registers[0] for each in registers):
        return False
    running = [each.name for each in world.machines.values() if each.runs(name)]
    if registers[0].held:
        return not running
    if registers[0].suspects:
        return False
    return running == world.serving(name) == world.holders(name) == [registers[0].owner]


def seen(world: World) -> str:
    """How each node stands."""
    return "; ".join(
        f"{name} {machine.agent.node.mind.authority.register(h.name) if machine.agent else 'no agent'}"
        for h in world.cluster.hierarchies
        for name, machine in world.machines.items()
    )


def story(world: World, last: int = 60) -> str:
    """The last that was told."""
    return "\n".join(
        f"{at:>10} {node} {each.kind.value} {each.tag or each.hierarchy or each.peer or ''} {each.text}"
        for at, node, each in world.notices[-last:]
    )


def fails(options: Options, faults: list[Fault]) -> AssertionError | None:
    """How it fails, if it does."""
    try:
        live(options, faults)
    except AssertionError as broken:
        return broken
    return None


def shrunk(options: Options, faults: list[Fault], most_tries: int = 300) -> list[Fault]:
    """Leave out what isn't needed for it to fail: halves first, then single faults."""
    size, tries = max(1, len(faults) // 2), 0
    while size:
        start, smaller = 0, False
        while start < len(faults) and tries < most_tries:
            tries += 1
            fewer = faults[:start] + faults[start + size :]
            if fails(options, fewer) is not None:
                faults, smaller = fewer, True
            else:
                start += size
        size = size if smaller and tries < most_tries else size // 2
    return faults


def written(options: Options, faults: list[Fault], scale: int, directory: Path) -> Path:
    """The scenario file of a failure."""
    path = directory / f"seed-{options.seed}.txt"
    lines = [f"seed {options.seed} scale {scale}", *map(str, faults)]
    path.write_text("\n".join(lines) + "\n")
    return path


def replay(path: Path) -> World:
    """Live a scenario file; raises Violation."""
    first, *lines = path.read_text().splitlines()
    _, seed, _, scale = first.split()
    return live(options_of.draw(int(seed), scale=int(scale)), [drawn.parse(line) for line in lines])
