"""Plays a transcript: commands, each with the cluster's whole reply below it.

A line that begins with `> ` is a command (see `Player`), one with `#` a remark; the rest are replies:
what the nodes told, with the time in seconds, then how each stands. `played(text)` is the same
transcript with the replies as they are now; a test compares the two, a person reads the difference.
"""

from __future__ import annotations

from dataclasses import replace

from agent.core.ids import NodeId, RequestId, Tag
from agent.core.messages import Command
from agent.core.model import Hierarchy
from agent.core.states import Action, Switchback
from tests.spec.machine import FAILS, FIRST_MS, HANGS, UNANSWERED, WORKS, Machine
from tests.spec.reference import (
    GROUPWARE,
    A,
    B,
    C,
    bring,
    cluster,
    groupware,
    recover,
    take_out,
    with_resource,
)
from tests.spec.world import World

TURNS = {"fails": FAILS, "hangs": HANGS, "unanswered": UNANSWERED, "works": WORKS}
UNITS = {"ms": 1, "s": 1_000, "min": 60_000}


def played(text: str) -> str:
    """The transcript with the replies that the cluster gives now."""
    player, lines = Player(), list[str]()
    for line in text.splitlines():
        if line.startswith("> "):
            lines += [line, *player.do(line.removeprefix("> ")), ""]
        elif line.startswith("#"):
            lines.append(line)
    player.world.verify()
    return "\n".join(lines)


def duration_ms(text: str) -> int:
    """ "5s", "250ms", "2min"; ValueError for anything else."""
    number = text.rstrip("msin")
    return int(number) * UNITS[text.removeprefix(number)]


class Player:
    """A cluster that does what a line says."""

    def __init__(self) -> None:
        self.world = World(cluster())
        self._told = 0
        self._answered = set[RequestId]()

    def do(self, line: str) -> list[str]:
        """Carry out one command; the reply."""
        words = line.split()
        if not (self._with_machines(words) or self._with_network(words) or self._with_resources(words)):
            self._as_operator(words)
        return [*self._notices(), *self._answers(), *map(self._standing, self.world.machines.values())]

    def _with_machines(self, words: list[str]) -> bool:
        world = self.world
        match words:
            case ["world", *settings]:
                self._begin(dict(each.split("=") for each in settings))
            case ["run", time]:
                world.run(duration_ms(time))
            case ["start", *nodes]:
                world.start(*nodes)
            case ["stop", node]:
                world.stop(node)
            case ["crash", node]:
                world.crash(node)
            case ["kill", node]:
                world.power_off(node)
            case ["boot", node]:
                world.boot(node)
            case ["pause", node, time]:
                world.pause(node, duration_ms(time))
            case ["disk", node, ("full" | "free") as state]:
                world.machines[NodeId(node)].disk_full = state == "full"
            case _:
                return False
        return True

    def _with_network(self, words: list[str]) -> bool:
        network = self.world.network
        match words:
            case ["cut", path, sender, "->", receiver]:
                network.cut(path, sender, receiver)
            case ["cut", path, one, "<->", other]:
                network.cut(path, one, other)
                network.cut(path, other, one)
            case ["part", one, other]:
                network.part(one, other)
            case ["heal"]:
                network.heal()
            case _:
                return False
        return True

    def _with_resources(self, words: list[str]) -> bool:
        match words:
            case ["break", node, tag]:
                self.world.breaks(node, tag)
            case ["kit", node, tag, action, turn]:
                self.world.script.always(node, tag, Action(action), TURNS[turn])
            case ["kits", "well"]:
                self.world.script.well()
            case ["reload", "without", tag]:
                spec = self.world.cluster.hierarchies[0]
                kept = tuple(each for each in spec.resources if each.tag != tag)
                self.world.reload(replace(self.world.cluster, hierarchies=(replace(spec, resources=kept),)))
            case _:
                return False
        return True

    def _as_operator(self, words: list[str]) -> None:
        match words:
            case ["in-service", *node, "at", asked]:
                command: Command = bring(NodeId(node[0]) if node else None)
            case ["out-of-service", "at", asked]:
                command = take_out()
            case ["recover", tag, "at", asked]:
                command = recover(Tag(tag))
            case _:
                raise ValueError(f"no such command: {' '.join(words)}")
        self.world.command(asked, command)

    def _begin(self, settings: dict[str, str]) -> None:
        nodes = (A, B, C)[: int(settings.get("nodes", "2"))]
        spec: Hierarchy = groupware(
            nodes=nodes, switchback=Switchback(settings.get("switchback", "intelligent"))
        )
        if "failure_timeout" in settings:
            spec = replace(spec, failure_timeout_ms=duration_ms(settings["failure_timeout"]))
        if "no_failover" in settings:
            spec = with_resource(spec, spec.resources[1].tag, failover=False)
        self.world = World(cluster(spec, nodes=nodes), may_part=settings.get("may_part") == "yes")
        self._told = 0

    def _notices(self) -> list[str]:
        new, self._told = self.world.notices[self._told :], len(self.world.notices)
        return [
            f"  {(at - FIRST_MS) / 1_000:8.3f} {node} {each.severity.value:7} {each.kind.value}"
            f"{f' {each.tag}' if each.tag else ''}: {each.text}"
            for at, node, each in new
        ]

    def _answers(self) -> list[str]:
        new = [each for request, each in self.world.answers.items() if request not in self._answered]
        self._answered |= {each.request for each in new}
        return [f"  {'accepted' if each.accepted else 'refused'}: {each.text}" for each in new]

    @staticmethod
    def _standing(machine: Machine) -> str:
        if not machine.powered:
            return f"  {machine.name}: off"
        if machine.agent is None:
            runs = ", ".join(sorted(machine.occupied)) or "nothing"
            return f"  {machine.name}: no agent; runs {runs}"
        life = machine.agent.node.mind.machines[GROUPWARE]
        shown = " ".join(
            f"{each.tag}={each.state.value}{f'({each.action.value})' if each.action else ''}"
            for each in reversed(life.reports())
        )
        return f"  {machine.name}: {life.phase.value}: {shown}"
