"""The reference cluster whole: its data on a mirror, each node's copy on its own disk, and who checks it.

The checks are independent of what they check: records acknowledged to a client outside, the engine's file
read from the mounted filesystem, disks compared from the host while their guests are off.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path

from agent.api.mirrors import MirrorReport, ResyncDetails
from tests.lab.cluster import VmCluster
from tests.lab.creating import create
from tests.machines.records import Records, missing
from tests.machines.reference import CLIENTS, HIERARCHY, NODES, PORT, RESOURCE, VIRTUAL_ADDRESS
from tests.machines.settings import Settings

TAG, DATA = "mirror-dir1", "/mnt/DIR1/cyde.data"
ORDER = (TAG, "fs-dir1", "cyde_5_0", "cyss_cbgrn", "route-vip", "ip-vip")  # children first
OTHER = dict(zip(NODES, reversed(NODES), strict=True))
WITHIN_S = 300.0  # a minute where nothing else runs
CHUNK_BYTES = 65_536
_SUPERBLOCK_AT, _DATA_OFFSET_AT, _SIZE_AT = 4_096, 128, 80  # md's version 1.2; sectors of 512 bytes
RESYNC_LIMIT = 6_000_000  # bytes/s; a kernel that copies as fast as it can starves an emulated machine
SETTINGS: Settings = {
    f"{RESOURCE}.fs-dir1.device": "/dev/md/dir1",
    f"{RESOURCE}.fs-dir1.options": "defaults",
    f"{RESOURCE}.fs-dir1.depends_on": (TAG,),
    f"{RESOURCE}.{TAG}": {
        "kit": "mirror",
        "disk": "/dev/vda",
        "name": "dir1",
        "resync_limit": RESYNC_LIMIT,
    },
}
DISK_MB = {"ext4": 96, "xfs": 320}  # xfs wants 300 MB, and those copied take minutes here


class Replicated(VmCluster):
    """Two guests with agents; `begin` puts the data on the mirror."""

    order: tuple[str, ...] = ORDER

    def __init__(self, settings: Settings | None = None, filesystem: str = "ext4") -> None:
        self.filesystem = filesystem
        self._firsts = count(1, 1_000_000)  # numbers of records: no two writers have the same
        self.resets = 0  # a starved guest loses its authority, though nothing is wrong with the cluster
        own: Settings = {**SETTINGS, f"{RESOURCE}.fs-dir1.type": filesystem}
        super().__init__({**own, **(settings or {})}, DISK_MB[filesystem])

    def begin(self, first: str = NODES[0]) -> None:
        """From empty disks to a service whose data both nodes have."""
        self.start()
        self.wait_connected(first)
        self.create(first)
        self.wait_in_service(first, WITHIN_S)
        self.wait_whole(first)

    def wait_connected(self, node: str) -> None:
        """Until it hears the other one."""
        self.wait_until(lambda: self._connected(node), WITHIN_S, "the nodes hear each other")

    def create(self, first: str) -> None:
        """The mirror's first copy, with a filesystem on it."""
        create(self.api(first), TAG, first, self.filesystem, self._wait)

    def switch_over(self, node: str) -> None:
        """Move the hierarchy there, as an operator does; returns once it is in service."""
        self.wait_until(lambda: self.hierarchy(node).nodes[node].eligible, WITHIN_S, f"{node} may run it")
        answer = self.api(node).bring_in_service(HIERARCHY, node)
        assert answer.accepted, answer
        self.wait_in_service(node, WITHIN_S)

    def restored(self, node: str) -> list[str]:
        """What the node restored when it brought the hierarchy in service last, in this order."""
        steps = self.timelines(node, limit=1)[0].steps
        return [step.name.removeprefix("restore ") for step in steps if step.name.startswith("restore ")]

    def phases(self, node: str) -> str:
        """What the node's last way into service consisted of, in the seconds of its clock."""
        newest = self.timelines(node, limit=1)[0]
        steps = (f"{step.name} {step.length_ms / 1_000:.1f}" for step in newest.steps)
        return f"{newest.cause} {newest.total_ms / 1_000:.1f} s: {', '.join(steps)}"

    def removed(self, node: str) -> list[str]:
        """What the node removed last, in this order."""
        ended = [each.tag for each in self.events(node, "action-finished") if each.action == "remove"]
        return [tag for tag in ended[-len(self.order) :] if tag is not None]

    def mirror(self, node: str) -> MirrorReport:
        """The mirror as a node sees it."""
        return self.api(node).mirror(TAG)

    def wait_whole(self, seen_by: str) -> None:
        """Until every node's copy counts; one that reset itself meanwhile comes back, as a real one does."""

        def whole() -> bool:
            for node in [each for each in NODES if not self.machines[each].on]:
                self.resets += 1
                self.start(node)
            return sorted(self.hierarchy(seen_by).in_sync) == list(NODES)

        self.wait_until(whole, WITHIN_S, "both copies are whole")

    def owner(self, seen_by: str) -> str:
        """The node that owns the hierarchy."""
        owner = self.hierarchy(seen_by).owner
        assert owner is not None
        return owner

    def any_owner(self) -> str:
        """The same, as a node sees it that is on."""
        return self.owner(next(node for node in NODES if self.machines[node].on))

    def last_resync(self, source: str, target: str) -> ResyncDetails:
        """How the target got its copy, as the source tells it."""
        leg = self.mirror(source).leg(target)
        assert leg is not None
        assert leg.last_resync is not None
        return leg.last_resync

    def disk_bytes(self, node: str) -> int:
        """The size of a node's copy with all that belongs to it."""
        return self.machines[node].data.image.stat().st_size

    def start_records(self) -> Records:
        """Begin to write numbered records through the virtual address; returns once some were stored."""
        records = Records(self.vpc, VIRTUAL_ADDRESS, PORT, CLIENTS[0], next(self._firsts))
        records.wait_more(3, WITHIN_S)
        return records

    def missing(self, records: Records, node: str) -> list[int]:
        """Acknowledged records that the data on the owner lacks: must be none."""
        acknowledged = records.acknowledged()
        return missing(acknowledged, self.machines[node].read(DATA))

    def end(self, owner: str) -> None:
        """Take it out of service and cut all power, so that the disks can be compared."""
        assert self.api(owner).take_out_of_service(HIERARCHY).accepted
        self.wait_until(lambda: self.hierarchy(owner).owner is None, WITHIN_S, "it is out of service")
        for node in NODES:
            self.power_off(node)

    def differing_chunks(self) -> list[int]:
        """Where the disks of both nodes differ, md's own areas left out; both guests must be off."""
        one, other = (self.machines[node].data.image for node in NODES)
        offset, size = _data_area(one)
        assert (offset, size) == _data_area(other)
        found = []
        with one.open("rb") as left, other.open("rb") as right:
            for number, at in enumerate(range(offset, offset + size, CHUNK_BYTES)):
                left.seek(at)
                right.seek(at)
                length = min(CHUNK_BYTES, offset + size - at)
                if left.read(length) != right.read(length):
                    found.append(number)
        return found

    def filesystem_errors(self) -> str:
        """What e2fsck finds on each copy, nothing replayed or repaired; both guests must be off."""
        assert self.filesystem == "ext4"
        found = []
        for node in NODES:
            image = self.machines[node].data.image
            argv = ("e2fsck", "-f", "-n", f"{image}?offset={_data_area(image)[0]}")
            checked = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
            if checked.returncode != 0:
                found.append(f"{node}: {checked.stdout}{checked.stderr}")
        return "\n".join(found)

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        self.wait_until(condition, WITHIN_S, what)

    def _connected(self, node: str) -> bool:
        return all(each.standing in {"self", "alive"} for each in self.status(node).nodes)


def _data_area(image: Path) -> tuple[int, int]:
    """Where md's data begins on a disk, and how long it is, in bytes; from its superblock."""
    with image.open("rb") as disk:
        disk.seek(_SUPERBLOCK_AT)
        superblock = disk.read(4_096)
    assert superblock[:4] == struct.pack("<I", 0xA92B4EFC), f"{image} has no md superblock"
    (offset,) = struct.unpack_from("<Q", superblock, _DATA_OFFSET_AT)
    (size,) = struct.unpack_from("<Q", superblock, _SIZE_AT)
    return offset * 512, size * 512
