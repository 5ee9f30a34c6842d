"""The reference cluster with virtual machines as nodes: `tests.machines.lab.ClusterLab`'s interface.

    with VmCluster() as lab:
        lab.start()
        lab.wait_in_service("db-01", 120)
        lab.power_off("db-01")
        lab.wait_in_service("db-02", 120)

Guests don't share the host's clock: times that two nodes tell can't be compared.
"""

from __future__ import annotations

from pathlib import Path

from agent.api.client import AgentClient
from agent.api.errors import Unreachable
from tests.lab import disk, image
from tests.lab.channel import Silent
from tests.lab.disk import Keep
from tests.lab.guest import BOOT_LIMIT_S, Guest
from tests.lab.lab import DISK_MB, cards
from tests.lab.qemu import Card
from tests.machines.reference import NODES, RESOURCE, RUNTIME, ReferenceCluster
from tests.machines.settings import Settings

API_LIMIT_S = 20.0
# An emulated machine needs half a minute for what takes a second on a real one, such as loading boto3.
SETTINGS: Settings = {
    "cluster.preset": "conservative",
    "cluster.startup_grace": "120s",
    "self_fence": None,  # a guest has a kernel of its own: as in production
    **{f"{RESOURCE}.{tag}.check_interval": "10s" for tag in ("cyde_5_0", "cyss_cbgrn")},
}
FOLDERS = ("DIR1", "etc", "state")  # of /mnt/disk, as every node has them


class GuestClient(AgentClient):
    """A client of the API of a guest's agent, by the guest's control channel."""

    def __init__(self, guest: Guest) -> None:
        self._socket = f"{RUNTIME}/agent.sock"
        super().__init__(Path(self._socket), API_LIMIT_S)
        self._guest = guest

    def _exchange(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        text = None if body is None else body.decode()
        try:
            answer = self._guest.http(self._socket, method, target, text, API_LIMIT_S)
        except Silent as exc:
            raise Unreachable(str(exc), "") from exc
        if "error" in answer:
            raise Unreachable(f"{self._guest.name}: no agent answers: {answer['error']}", "")
        return answer["status"], answer["text"].encode()


class VmCluster(ReferenceCluster[Guest]):
    """Its nodes are guests; /mnt/disk is their second disk, and /dev/vda is empty at first."""

    LOOK_EVERY_S = 0.5  # each look costs the guest some work

    def __init__(self, settings: Settings | None = None, disk_mb: int = DISK_MB) -> None:
        image.require()
        self._disk_mb = disk_mb
        self._cards: dict[str, tuple[Card, ...]] = {}
        self._files: dict[str, dict[str, tuple[str, int]]] = {name: {} for name in NODES}
        super().__init__({**SETTINGS, **(settings or {})})

    def _machine(self, name: str) -> Guest:
        return Guest(name, self.vpc, self.directory, self._disk_mb)

    def _build(self) -> None:
        super()._build()
        self._cards = {name: cards(self.network, name) for name in NODES}

    def _put(self, node: str, path: str, text: str, mode: int) -> None:
        self._files[node][path] = (text, mode)
        if self.machines[node].on:
            self.machines[node].write(f"/mnt/disk/{path}", text, mode)

    def boot(self, *nodes: str) -> None:
        """Power on and connect, all if none is named; no agent yet."""
        for name in nodes or NODES:
            self.machines[name].boot(self._cards[name])
        for name in nodes or NODES:
            guest = self.machines[name]
            guest.wait_up(BOOT_LIMIT_S)
            self.network.set_up(guest)
            guest.run("mkdir", "-p", *(f"/mnt/disk/{each}" for each in FOLDERS))
            for path, (text, mode) in self._files[name].items():
                guest.write(f"/mnt/disk/{path}", text, mode)

    def power_cut(self, node: str, keep: Keep = disk.nothing) -> None:
        """As `Guest.power_cut`: what of its unflushed writes survives is for `keep` to say."""
        self.machines[node].power_cut(keep)

    def api(self, node: str) -> AgentClient:
        """The API of a node's agent, asked directly: cheap enough to poll."""
        return GuestClient(self.machines[node])
