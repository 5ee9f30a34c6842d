"""The reference cluster in a laboratory of namespaces.

with ClusterLab({"cluster.preset": "fast"}) as lab:
    lab.start()
    lab.wait_in_service("db-01")
    lab.power_off("db-01")
    lab.wait_in_service("db-02")
"""

from __future__ import annotations

import sys
from pathlib import Path

from agent.api.client import AgentClient
from tests.machines import machine
from tests.machines.machine import Machine
from tests.machines.reference import (
    CLIENTS,
    CONFIG,
    EXAMPLE,
    HIERARCHY,
    NODES,
    PORT,
    RUNTIME,
    VIRTUAL_ADDRESS,
    WITHOUT_QUORUM,
    ReferenceCluster,
)

__all__ = (  # with what is said of every reference cluster
    "CLIENTS",
    "CONFIG",
    "EXAMPLE",
    "HIERARCHY",
    "NODES",
    "PORT",
    "VIRTUAL_ADDRESS",
    "WITHOUT_QUORUM",
    "ClusterLab",
)


class ClusterLab(ReferenceCluster[Machine]):
    """Its nodes are machines of namespaces; what they see as /mnt/disk is a folder of the host's."""

    def _machine(self, name: str) -> Machine:
        disk = self.directory / name
        for each in ("etc", "DIR1", "state"):
            (disk / each).mkdir(parents=True)
        return Machine(name, self.logs, inside=self.vpc, disk=disk)

    def _put(self, node: str, path: str, text: str, mode: int) -> None:
        file = self.directory / node / path
        new = file.with_suffix(".new")
        new.write_text(text)
        new.chmod(mode)
        new.rename(file)

    def boot(self, *nodes: str) -> None:
        """Power on and connect, all if none is named; no agent yet."""
        for name in nodes or NODES:
            self.machines[name].boot()
            self.network.plug_in(self.machines[name])

    def api(self, node: str) -> AgentClient:
        """The API of a node's agent, asked directly: cheap enough to poll."""
        return AgentClient(self.machines[node].path(f"{RUNTIME}/agent.sock"), timeout_s=5.0)

    def start_pulse(self, node: str) -> None:
        """Have the node write down, until its power is cut, that something still runs there."""
        program = str(Path(__file__).with_name("pulse.py"))
        self.machines[node].spawn(sys.executable, "-I", "-S", program, "/mnt/disk/pulse", log="pulse.log")
        machine.wait_until((self.directory / node / "pulse").exists, 20, f"{node} writes its pulse")

    def last_pulse_ms(self, node: str) -> int:
        """When something certainly ran there last."""
        return int.from_bytes((self.directory / node / "pulse").read_bytes(), "little")

    def first_restore_ms(self, since_ms: int, node: str) -> int:
        """When the node began, after `since_ms`, to restore its first resource; it has restored some."""
        ended = [each for each in self.events(node, "action-finished") if each.action == "restore"]
        return min(each.at_ms - (each.took_ms or 0) for each in ended if each.at_ms >= since_ms)
