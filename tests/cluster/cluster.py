"""The reference cluster under test: every call of a script is written down, and can be made to go wrong."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from agent.api.reports import EventView, NodeView
from tests.aws_server import Call
from tests.machines.client import Client
from tests.machines.lab import EXAMPLE, HIERARCHY, NODES, ClusterLab
from tests.machines.settings import Settings

RESOURCE = f"hierarchy.{HIERARCHY}.resource"
TAGS = ("fs-dir1", "cyde_5_0", "cyss_cbgrn", "route-vip", "ip-vip")  # children first
APPLICATIONS = {"cyde_5_0": "cyde", "cyss_cbgrn": "cyss"}  # tag -> id
SCRIPT = "/mnt/disk/etc/script.sh"
GRANT_MS, MARGIN_MS = 2_000, 500
TOUCHING = ("restore", "remove", "force-remove", "recover")
WITHIN_S = 20.0  # for what takes a second or two on a machine that has nothing else to do


def _scripts(tag: str) -> Settings:
    actions = ("restore", "remove", "quick_check", "recover", "force_remove")
    scripts = {f"{RESOURCE}.{tag}.{action}": SCRIPT for action in actions}
    return {**scripts, f"{RESOURCE}.{tag}.info": str(EXAMPLE / "scripts")}


SETTINGS: Settings = {
    "cluster.heartbeat_interval": "100ms",
    "cluster.dead_after": "2s",
    "cluster.startup_grace": "30s",  # on a busy machine the second agent comes seconds after the first
    "cluster.takeover_margin": "500ms",  # a power cut is a process here, which a busy machine starts late
    "aws.connect_timeout": "300ms",
    "aws.read_timeout": "300ms",
    **_scripts("cyde_5_0"),
    **_scripts("cyss_cbgrn"),
    **{f"{RESOURCE}.{tag}.check_interval": "500ms" for tag in TAGS},
}


class Cluster(ClusterLab):
    """A lab in which checks are frequent, and a peer is lost after two seconds as by default."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__({**SETTINGS, **(settings or {})})

    def _build(self) -> None:
        super()._build()
        for node in NODES:
            shutil.copy(Path(__file__).with_name("script.sh"), self.disk(node) / "etc")
            (self.disk(node) / "faults").mkdir()

    def disk(self, node: str) -> Path:
        """What the machine sees as /mnt/disk."""
        return self.directory / node

    # Putting it to the test

    def sabotage(self, node: str, tag: str, action: str, shell: str) -> None:
        """Run this before the script of that action, e.g. "exit 1"; "" runs nothing."""
        (self.disk(node) / f"faults/{tag}.{action}").write_text(shell + "\n")

    def mend(self) -> None:
        """End all sabotage."""
        for fault in self.faults():
            fault.unlink()

    def faults(self) -> list[Path]:
        """What is sabotaged."""
        return [fault for node in NODES for fault in (self.disk(node) / "faults").iterdir()]

    def kill_application(self, node: str, tag: str) -> None:
        """`kill -9`, as after a crash."""
        self.machines[node].run("sh", "-c", f'kill -KILL "$(cat /run/{APPLICATIONS[tag]}.lock)"')

    # Looking

    def calls(self, node: str, *actions: str) -> list[str]:
        """Every call of a script on that node, e.g. "cyde_5_0 restore"; of some actions if named."""
        return [call for _, call in self.dated_calls(node, *actions)]

    def dated_calls(self, node: str, *actions: str) -> list[tuple[int, str]]:
        """The same, each with when it began; rounded down to 10 ms."""
        path = self.disk(node) / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        dated = ((int(at), call) for at, _, call in (line.partition(" ") for line in lines))
        return [(at, call) for at, call in dated if not actions or call.partition(" ")[2] in actions]

    def touched(self) -> list[str]:
        """Everything that was done to a resource, and where the routes lead."""
        scripts = [f"{node}: {call}" for node in NODES for call in self.calls(node, *TOUCHING)]
        return [*scripts, f"routes: {self.cloud.routes()}"]

    def first_restore_ms(self, since_ms: int, node: str) -> int:
        """When the node began to restore, by its own word and by that of the scripts."""
        scripts = [at for at, _ in self.dated_calls(node, "restore") if at >= since_ms]
        return min([super().first_restore_ms(since_ms, node), *scripts])

    def wait_off(self, node: str) -> None:
        """Until the node's power is cut."""
        self.wait_until(lambda: not self.machines[node].on, WITHIN_S, f"{node} is off")

    def wait_past(self, at_ms: int) -> None:
        """Until then, for what is promised of a time."""
        self.wait_until(lambda: now_ms() > at_ms, WITHIN_S + (at_ms - now_ms()) / 1_000, "time passes")

    def arbiter_writes(self) -> list[Call]:
        """Every vote that the arbiter was asked for."""
        return self.cloud.journal("dynamodb:PutItem")

    def wait_arbiter_rests(self) -> None:
        """Until nobody has written to it for as long as a grant lasts, in which an owner renews thrice."""

        def rests() -> bool:
            return all(time.time() - call.at_s > GRANT_MS / 1_000 for call in self.arbiter_writes())

        self.wait_until(rests, WITHIN_S, "nobody writes to the arbiter")

    def since(self, mark: int, node: str, *kinds: str) -> list[EventView]:
        """The node's events since `mark`, oldest first; of some kinds if named."""
        return [
            each for each in self.events(node) if each.at_ms >= mark and (not kinds or each.kind in kinds)
        ]

    def wait_for(
        self, mark: int, node: str, kind: str, *, within_s: float = WITHIN_S, **about: str
    ) -> EventView:
        """The first such event since `mark`, e.g. wait_for(mark, "db-02", "peer-lost", peer="db-01")."""

        def found() -> list[EventView]:
            return [
                each
                for each in self.since(mark, node, kind)
                if all(getattr(each, name) == value for name, value in about.items())
            ]

        self.wait_until(found, within_s, f"{node} tells {kind} {about or ''}")
        return found()[0]

    def peer(self, seen_by: str) -> NodeView:
        """The other node, as one of the two sees it."""
        return next(each for each in self.status(seen_by).nodes if each.name != seen_by)

    def path_states(self, seen_by: str) -> Mapping[str, str]:
        """Comm path -> "up" or "down"."""
        return {path.name: path.state for path in self.peer(seen_by).paths}

    def wait_connected(self, *nodes: str) -> None:
        """Until all these nodes (both if none is named) have every comm path up."""
        self.wait_until(
            lambda: all(self.peer(node).comm == "up" for node in nodes or NODES), WITHIN_S, "all paths up"
        )

    def wait_heartbeats(self, node: str, count: int) -> None:
        """Until the node heard so many more heartbeats: so long, at least, it went on hearing its peer."""
        before = self.status(node).counters.heartbeats_heard
        self.wait_until(
            lambda: self.status(node).counters.heartbeats_heard >= before + count,
            WITHIN_S,
            f"{node} hears {count} more heartbeats",
        )

    def wait_checked(self, node: str, tag: str = "cyde_5_0", times: int = 3) -> None:
        """Until so many more checks of a resource under scripts were begun there."""
        before = self.calls(node, "quick-check").count(f"{tag} quick-check")
        self.wait_until(
            lambda: self.calls(node, "quick-check").count(f"{tag} quick-check") >= before + times,
            WITHIN_S,
            f"{node} checks {tag} {times} times",
        )

    def wait_eligible(self, node: str) -> None:
        """Until both nodes know that the node could take the hierarchy."""
        self.wait_until(
            lambda: all(self.hierarchy(seen_by).nodes[node].eligible for seen_by in NODES),
            WITHIN_S,
            f"{node} eligible",
        )

    def wait_down(self, node: str, seen_by: str | None = None) -> None:
        """Until every resource is certainly out of service on the node."""
        self.wait_until(
            lambda: (
                self.hierarchy(seen_by or node).nodes[node].phase == "stopped"
                and self.states(node, seen_by) <= {"OSU", "OSF"}
            ),
            WITHIN_S,
            f"{node} has removed everything",
        )

    def states(self, node: str, seen_by: str | None = None) -> set[str]:
        """The states of all resources on a node."""
        return {each.nodes[node].state for each in self.hierarchy(seen_by or node).resources}

    def routes_lead_to(self, node: str) -> bool:
        """Whether every app subnet's table sends the virtual address to the node's eth0."""
        routes, interface = self.cloud.routes(), self.world.node(node).interfaces[0].id
        return {routes[each].get(self.world.destination) for each in self.world.route_tables} == {interface}

    def holds_address(self, node: str) -> bool:
        """Whether the virtual address is on the node's eth0."""
        return " 10.1.0.10/32 " in self.machines[node].run("ip", "-4", "address", "show", "dev", "eth0")

    def wait_served(self, client: Client, for_s: float = 0.5) -> None:
        """Until the client was served for so long from now."""
        until = now_ms() / 1_000 + for_s
        self.wait_until(lambda: client.working_since(until), WITHIN_S + for_s, "the client is served")

    @property
    def as_new(self) -> bool:
        """Whether nothing that happened to it since its start can be noticed any more."""
        if self.network.faults or self.cloud.faults() or self.faults():
            return False
        if not all(each.on for each in self.machines.values()) or not self.in_service("db-01"):
            return False
        return all(self._untroubled(node) for node in NODES)

    def _untroubled(self, node: str) -> bool:
        remembered = ("resource-failed", "ownership-lost", "config-loaded", "store-failed")
        fit = all(each.eligible for each in self.hierarchy(node).nodes.values())
        return fit and self.peer(node).comm == "up" and not self.since(0, node, *remembered)


def now_ms() -> int:
    """The clock of events' `at_ms`, the same on every machine of the lab."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
