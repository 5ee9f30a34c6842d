"""The reference cluster: db-01 and db-02 with agents, the VPC, AWS, a client; whatever its nodes are made of.

It is examples/garoon with few values replaced (`SETTINGS`), and any others that a test names. Every lab
has its own network and directory, so labs don't disturb each other.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Callable
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any, Generic, TypeVar

from agent.api.client import AgentClient
from agent.api.errors import ApiError
from agent.api.reports import EventView, HierarchyView, StatusReport, TimelineReport
from tests.aws_server import REGION, World
from tests.logs import tails
from tests.machines import cloud, machine
from tests.machines.client import Client
from tests.machines.lifetime import Lifetime
from tests.machines.machine import PROJECT, Machine
from tests.machines.network import Device, Network
from tests.machines.runs import Runs
from tests.machines.settings import Settings, overlay
from tests.machines.supervisor import Supervised

EXAMPLE = PROJECT / "examples/garoon"
NODES = ("db-01", "db-02")
HIERARCHY = "groupware"
VIRTUAL_ADDRESS, PORT = "10.1.0.10", 3770
CLIENTS = ("10.0.1.10", "10.0.4.10")  # one in each app subnet
KAGE = str(Path(sys.executable).with_name("kage"))
CONFIG = "/mnt/disk/etc/cluster.toml"  # on the node's own disk, as everything under /mnt/disk
RUNTIME = "/run/kagemusha"

RESOURCE = f"hierarchy.{HIERARCHY}.resource"
WITHOUT_QUORUM: Settings = {"cluster.quorum": "none", "arbiter": None}
# What differs from the example.
SETTINGS: Settings = {
    "cluster.key_file": "/mnt/disk/etc/cluster.key",
    "self_fence.command": machine.CUT_MY_POWER,
    "watchdog": None,  # a device is the whole kernel's: it would reset the host; the guardian is there
    f"{RESOURCE}.fs-dir1.device": "/mnt/disk/DIR1",
    f"{RESOURCE}.fs-dir1.type": "none",
    f"{RESOURCE}.fs-dir1.options": "bind",
    f"{RESOURCE}.fs-dir1.depends_on": (),
    f"{RESOURCE}.mirror-dir1": None,  # needs kernels of its own: tests/lab
}


M = TypeVar("M", bound=Runs)


class ReferenceCluster(Lifetime, Generic[M]):
    """Everything the reference cluster needs, on this machine. Use it as a context manager."""

    LOOK_EVERY_S = 0.02  # while waiting

    def __init__(self, settings: Settings | None = None) -> None:
        self.nodes = NODES
        self.directory = Path(tempfile.mkdtemp(prefix="kage-lab-"))
        self.logs = self.directory / "logs"
        self.vpc = Machine("vpc", self.logs)
        self.machines: dict[str, M] = {name: self._machine(name) for name in NODES}
        self.agents = {name: self._supervised(name) for name in NODES}
        self.cloud = cloud.Cloud(self.directory / "aws.sock")
        self._settings = dict(settings or {})
        self.world: World
        self.network: Network

    def _build(self) -> None:
        self.vpc.boot()
        self.network = Network(self.vpc, (cloud.ADDRESS, *CLIENTS))
        self.world = self._furnish()
        for node in self.world.nodes:
            devices = (
                Device(each.device, IPv4Interface(f"{each.address}/24"), each.mac) for each in node.interfaces
            )
            self.network.add(node.name, tuple(devices))
        self.cloud.begin_routing()
        self._hand_out_key()
        self.configure({})

    def _furnish(self) -> World:
        """Start AWS, with everything that the cluster needs in it."""
        self._start_cloud()
        return self.cloud.world()

    def _start_cloud(self, *options: str) -> None:
        server = self.vpc.spawn(
            sys.executable, "-m", "tests.machines.cloud", str(self.cloud.path), *options, log="aws.log"
        )
        machine.wait_until(lambda: self.cloud.ready or not server.running, 60, "the AWS test server answers")

    def _hand_out_key(self) -> None:
        key = secrets.token_hex(32) + "\n"
        for name in NODES:
            self._put(name, "etc/cluster.key", key, 0o400)

    def close(self) -> None:
        """Cut all power and forget everything."""
        for each in self.machines.values():
            each.power_off()
        self.vpc.power_off()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _supervised(self, name: str, **env: str) -> Supervised:
        """A node's agent, not started yet; `env` is added to its environment."""
        return Supervised(self.machines[name], agent_argv(name), environment(name) | env)

    # What nodes are made of

    @abstractmethod
    def _machine(self, name: str) -> M:
        """A node's machine, off and with an empty disk."""

    @abstractmethod
    def _put(self, node: str, path: str, text: str, mode: int) -> None:
        """Make or replace a file on the node's own disk, in one step as an editor does; it may be off."""

    @abstractmethod
    def boot(self, *nodes: str) -> None:
        """Power on and connect, all if none is named; no agent yet."""

    @abstractmethod
    def api(self, node: str) -> AgentClient:
        """The API of a node's agent, asked directly: cheap enough to poll."""

    # What runs

    def start(self, *nodes: str) -> None:
        """Boot machines with their agents; all if none is named."""
        self.boot(*nodes)
        for name in nodes or NODES:
            self.agents[name].start()

    def power_off(self, node: str) -> None:
        """Cut the power: all processes end, all links are gone."""
        self.machines[node].power_off()

    def processes(self) -> list[int]:
        """The host's numbers of all its processes."""
        machines: list[Runs] = [self.vpc, *self.machines.values()]
        return [pid for each in machines for pid in each.everything()]

    def start_client(self) -> Client:
        """Start writing through the virtual address; ends with the lab."""
        return Client(self.vpc, VIRTUAL_ADDRESS, PORT, CLIENTS)

    # Configuration

    def configure(self, changes: Settings, *nodes: str) -> None:
        """Write cluster.toml with these changes, which add up, on some nodes (all if none is named)."""
        self._settings.update(changes)
        text = self._original().replace("/opt/kagemusha/scripts", str(EXAMPLE / "scripts"))
        self.write_config(overlay(text, SETTINGS, self._settings), *nodes)

    def _original(self) -> str:
        """The cluster.toml that is changed only as far as the lab demands."""
        tables = {f"{RESOURCE}.route-vip.route_tables": self.world.route_tables}
        return overlay((EXAMPLE / "cluster.toml").read_text(), tables)

    def write_config(self, text: str, *nodes: str) -> None:
        """Write any text as cluster.toml on some nodes or all."""
        for name in nodes or NODES:
            self._put(name, "etc/cluster.toml", text, 0o644)

    # What the agents say

    def kage(self, node: str, *arguments: str) -> Any:
        """Run `kage … --json` on a node; the decoded answer. Raises CommandFailed."""
        argv = (KAGE, "--socket", f"{RUNTIME}/agent.sock", *arguments, "--json")
        return json.loads(self.machines[node].run(*argv, env=environment(node)))

    def kage_text(self, node: str, *arguments: str) -> str:
        """What `kage` prints for people."""
        return self.machines[node].run(
            KAGE, "--socket", f"{RUNTIME}/agent.sock", *arguments, env=environment(node)
        )

    def status(self, node: str) -> StatusReport:
        """The cluster as the node sees it; raises agent.api.errors.Unreachable if no agent answers."""
        return self.api(node).status()

    def hierarchy(self, node: str, name: str = HIERARCHY) -> HierarchyView:
        """One hierarchy as the node sees it."""
        return next(each for each in self.status(node).hierarchies if each.name == name)

    def state(self, tag: str, on: str, seen_by: str | None = None) -> str:
        """A resource's state ("ISP", …) on a node, as that node or another one sees it."""
        for hierarchy in self.status(seen_by or on).hierarchies:
            for resource in hierarchy.resources:
                if resource.tag == tag:
                    return resource.nodes[on].state
        raise KeyError(tag)

    def events(self, node: str, kind: str = "", limit: int = 1000) -> list[EventView]:
        """The node's newest events, oldest first; of one kind if named."""
        return [event for event in self.api(node).events(limit) if kind in ("", event.kind)]

    def timelines(self, node: str, limit: int = 20) -> list[TimelineReport]:
        """The node's newest timelines, newest first."""
        return self.api(node).timelines(limit)

    def in_service(self, node: str, hierarchy: str = HIERARCHY) -> bool:
        """Whether the node itself says that every resource is in service there."""
        try:
            view = self.hierarchy(node, hierarchy)
        except ApiError:
            return False
        states = {resource.nodes[node].state for resource in view.resources}
        return view.nodes[node].phase == "running" and states <= {"ISP", "ISU"}

    def wait_until(self, condition: Callable[[], object], within_s: float, what: str) -> None:
        """Return once `condition()` is true; an agent that doesn't answer counts as not yet."""

        try:
            machine.wait_until(answered(condition), within_s, what, self.LOOK_EVERY_S)
        except machine.TimedOut as exc:
            raise machine.TimedOut(f"{exc}; {'; '.join(self._told(node) for node in NODES)}") from None

    def wait_in_service(self, node: str, within_s: float = 30.0, hierarchy: str = HIERARCHY) -> None:
        """Return once the whole hierarchy is in service on the node."""
        self.wait_until(
            lambda: self.in_service(node, hierarchy), within_s, f"{hierarchy} in service on {node}"
        )

    def begin_on(self, node: str) -> None:
        """Once it is in service, have it there: a machine that stands still at the start comes second."""
        self.wait_until(lambda: any(map(self.in_service, NODES)), 60, f"{HIERARCHY} in service")
        if not self.in_service(node):
            self.wait_until(lambda: self.hierarchy(node).nodes[node].eligible, 30, f"{node} may run it")
            self.kage(node, "in-service", HIERARCHY, "--node", node)
            self.wait_in_service(node)

    def _told(self, node: str) -> str:
        """What a node last told of itself, in a line."""
        try:
            told = [f"{each.kind} {each.text}" for each in self.events(node, limit=5)]
        except ApiError as exc:
            return f"{node}: {exc}"
        return f"{node}: {' | '.join(told)}"

    def log_tails(self) -> str:
        """The ends of all logs, for people who look for what went wrong."""
        return tails(self.logs)


def answered(condition: Callable[[], object]) -> Callable[[], object]:
    """The same, but an agent that doesn't answer counts as not yet."""

    def holds() -> object:
        try:
            return condition()
        except ApiError:
            return False

    return holds


def agent_argv(node: str) -> tuple[str, ...]:
    """How a node's agent is started."""
    where = ("--state-dir", "/mnt/disk/state", "--runtime-dir", RUNTIME)
    return (KAGE, "agent", "--config", CONFIG, "--node", node, *where)


def environment(node: str) -> dict[str, str]:
    """AWS by the test server only; a key of its own for each node, so that faults can be one node's."""
    return {
        "AWS_ENDPOINT_URL": cloud.URL,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": cloud.metadata_url(NODES.index(node)),
        "AWS_ACCESS_KEY_ID": f"AKIA{node.upper()}",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
