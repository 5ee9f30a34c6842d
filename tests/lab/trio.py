"""Three guests with agents, which are all the votes there are; a filesystem on a mirror of three copies."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from agent.api.errors import ApiError
from agent.api.reports import HierarchyView
from tests.lab.cluster import GuestClient
from tests.lab.creating import create
from tests.lab.guest import BOOT_LIMIT_S
from tests.lab.lab import ADDRESSES, VmLab
from tests.lab.writes import MOUNT
from tests.machines.machine import TimedOut, wait_until
from tests.machines.reference import CONFIG, agent_argv, answered
from tests.machines.supervisor import Supervised

NODES = tuple(ADDRESSES)
HIERARCHY, TAG = "files", "copies"
WITHIN_S = 400.0  # three emulated machines on whatever processors there are
DISK_MB = 48
_PATHS = "\n".join(
    f"[comm_path.eni-{index}]\npriority = {index + 1}\n"
    + "\n".join(f'{node} = "{addresses[index]}"' for node, addresses in ADDRESSES.items())
    for index in range(2)
)
_TOML = f"""
[cluster]
name = "trio"
preset = "conservative"
startup_grace = "120s"
key_file = "/mnt/disk/etc/cluster.key"

{_PATHS}

[hierarchy.{HIERARCHY}]
nodes = {{nodes}}

[hierarchy.{HIERARCHY}.resource.mounted]
kit = "filesystem"
depends_on = ["{TAG}"]
device = "/dev/md/dir1"
mount_point = "{MOUNT}"
type = "ext4"

[hierarchy.{HIERARCHY}.resource.{TAG}]
kit = "mirror"
disk = "/dev/vda"
name = "dir1"
resync_limit = 6_000_000
"""


class Trio(VmLab):
    """Use it as a context manager; `begin` makes the mirror, for two nodes at first."""

    def __init__(self) -> None:
        super().__init__(NODES, DISK_MB)
        self._key = secrets.token_hex(32) + "\n"
        self._toml = _TOML.format(nodes=list(NODES[:2]))

    def begin(self) -> None:
        """From empty disks to a service on the first node whose data two have."""
        first = NODES[0]
        self.start()
        self.wait(lambda: self._hears_all(first), f"{first} hears the others")
        create(self.api(first), TAG, first, "ext4", self.wait)
        self.wait_in_service(first)
        self.wait_counted(first, *NODES[:2])

    def extend(self) -> None:
        """The third node joins the hierarchy, as an operator writes and says it on each."""
        self._toml = _TOML.format(nodes=list(NODES))
        for node in NODES:
            self.guests[node].write(CONFIG, self._toml)
            answer = self.api(node).reload_config()
            assert answer.accepted, answer

    def start(self, *nodes: str, within_s: float = BOOT_LIMIT_S) -> None:
        """Boot guests with their agents, all if none is named."""
        super().start(*nodes, within_s=within_s)
        for name in nodes or self.nodes:
            guest = self.guests[name]
            guest.run("mkdir", "-p", "/mnt/disk/state")
            guest.write("/mnt/disk/etc/cluster.key", self._key, 0o400)
            guest.write(CONFIG, self._toml)
            Supervised(guest, agent_argv(name), {}).start()

    def api(self, node: str) -> GuestClient:
        """The API of a node's agent."""
        return GuestClient(self.guests[node])

    def hierarchy(self, seen_by: str) -> HierarchyView:
        """As a node sees it."""
        (found,) = self.api(seen_by).status().hierarchies
        return found

    def told(self, node: str, kind: str, peer: str | None = None) -> int:
        """The number of its newest event of a kind, about that peer; 0: there is none."""
        events = self.api(node).events(1_000)
        return max((each.id for each in events if (each.kind, each.peer) == (kind, peer)), default=0)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Until it holds; an agent that doesn't answer counts as not yet."""
        try:
            wait_until(answered(condition), WITHIN_S, what, 0.5)
        except TimedOut as exc:
            raise TimedOut("\n".join([str(exc), *(self._last_words(node) for node in NODES)])) from None

    def wait_in_service(self, node: str) -> None:
        """Until the node says that it runs the hierarchy."""
        self.wait(lambda: self.hierarchy(node).nodes[node].phase == "running", f"in service on {node}")

    def wait_counted(self, seen_by: str, *nodes: str) -> None:
        """Until the copies of just these nodes count."""
        what = f"the copies of {', '.join(nodes)} count"
        self.wait(lambda: sorted(self.hierarchy(seen_by).in_sync) == sorted(nodes), what)

    def _hears_all(self, node: str) -> bool:
        return all(each.standing in {"self", "alive"} for each in self.api(node).status().nodes)

    def _last_words(self, node: str) -> str:
        try:
            return f"{node}: " + " | ".join(f"{each.kind} {each.text}" for each in self.api(node).events(12))
        except ApiError as exc:
            return f"{node}: {exc}"
