"""The reference cluster whole: its data on a mirror, each node's copy on its own disk, and who checks it.

The checks are independent of what they check: records acknowledged to a client outside, the engine's file
read from the mounted filesystem, disks compared from the host while their guests are off.
"""

from __future__ import annotations

import struct
from pathlib import Path

from agent.api.mirrors import MirrorReport
from tests.lab.cluster import VmCluster
from tests.machines.machine import wait_until
from tests.machines.records import Records, missing
from tests.machines.reference import CLIENTS, NODES, PORT, RESOURCE, VIRTUAL_ADDRESS
from tests.machines.settings import Settings

TAG, DATA = "mirror-dir1", "/mnt/DIR1/cyde.data"
WITHIN_S = 300.0  # a minute where nothing else runs
CHUNK_BYTES = 65_536
_SUPERBLOCK_AT, _DATA_OFFSET_AT, _SIZE_AT = 4_096, 128, 80  # md's version 1.2; sectors of 512 bytes
SETTINGS: Settings = {
    f"{RESOURCE}.fs-dir1.device": "/dev/md/dir1",
    f"{RESOURCE}.fs-dir1.type": "ext4",  # xfs wants 300 MB, and those copied would take minutes here
    f"{RESOURCE}.fs-dir1.options": "defaults",
    f"{RESOURCE}.fs-dir1.depends_on": (TAG,),
    f"{RESOURCE}.{TAG}": {
        "kit": "mirror",
        "disk": "/dev/vda",
        "name": "dir1",
        "resync_limit": 6_000_000,  # a kernel that copies as fast as it can starves an emulated machine
    },
}
DISK_MB = 96


class Replicated(VmCluster):
    """Two guests with agents; `begin` puts the data on the mirror."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__({**SETTINGS, **(settings or {})}, DISK_MB)

    def begin(self, first: str = NODES[0]) -> None:
        """From empty disks to a service whose data both nodes have."""
        self.start()
        self.wait_until(lambda: self._connected(first), WITHIN_S, "the nodes hear each other")
        self.create(first)
        self.wait_in_service(first, WITHIN_S)
        self.wait_whole(first)

    def create(self, first: str) -> None:
        """What `kage mirror create` does, asked of the API: the command itself takes a while in a guest."""
        api = self.api(first)
        made = {"node": first, "mkfs": "ext4"}
        self.wait_until(lambda: api.ask_mirror(TAG, "create", made).accepted, WITHIN_S, "it may be created")
        self.wait_until(lambda: self._created(first), WITHIN_S, "the filesystem is made")
        # Refused as long as it finds out what runs there.
        self.wait_until(
            lambda: api.ask_mirror(TAG, "begin", {"node": first}).accepted, WITHIN_S, "it may begin"
        )

    def mirror(self, node: str) -> MirrorReport:
        """The mirror as a node sees it."""
        return self.api(node).mirror(TAG)

    def wait_whole(self, seen_by: str) -> None:
        """Until every node's copy counts."""
        self.wait_until(
            lambda: sorted(self.hierarchy(seen_by).in_sync) == list(NODES), WITHIN_S, "both copies are whole"
        )

    def owner(self, seen_by: str) -> str:
        """The node that owns the hierarchy."""
        owner = self.hierarchy(seen_by).owner
        assert owner is not None
        return owner

    def start_records(self) -> Records:
        """Begin to write numbered records through the virtual address; returns once some were stored."""
        records = Records(self.vpc, VIRTUAL_ADDRESS, PORT, CLIENTS[0])
        wait_until(lambda: len(records.acknowledged()) > 3, WITHIN_S, "records are acknowledged")
        return records

    def missing(self, records: Records, node: str) -> list[int]:
        """Acknowledged records that the data on the owner lacks: must be none."""
        acknowledged = records.acknowledged()
        return missing(acknowledged, self.machines[node].read(DATA))

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

    def _created(self, node: str) -> bool:
        details = self.mirror(node).nodes[node].details
        job = details.job if details is not None else None
        assert job is None or job.state != "failed", job
        return job is not None and job.state == "done"

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
