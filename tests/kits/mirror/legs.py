"""Legs made by hand: the bytes that md would have on a disk."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from recovery_kits.mirror.superblock import superblock_checksum

ARRAY = UUID("6b8d1c1e-5f0a-5f5e-9a53-3a7d52f0c0de")
DEVICES = tuple(UUID(int=0xD0 + slot) for slot in range(4))
MIB = 1 << 20
FAULTY, SPARE = 0xFFFE, 0xFFFF


@dataclass(kw_only=True)
class DiskLeg:
    """A leg's first MiB, by its fields; `image` is what a disk would hold."""

    array: UUID = ARRAY
    device: UUID = DEVICES[1]
    number: int = 1
    roles: list[int] = field(default_factory=lambda: [0, 1])
    features: int = 1
    level: int = 1
    created: int = 1_700_000_000
    events: int = 40
    size_sectors: int = 64 * MIB // 512
    raid_disks: int = 2
    recovery_offset: int = 0
    device_flags: int = 0
    name: bytes = b"db-01:mirror-r0"
    bitmap_events: int = 40
    cleared: int = 38
    chunk: int = 65536
    bitmap_state: int = 0
    bitmap_size_sectors: int | None = None
    bitmap_uuid: UUID | None = None
    dirty: Iterable[int] = ()

    def superblock(self) -> bytearray:
        """The superblock's 4 KiB, with its checksum."""
        block = bytearray(4096)
        struct.pack_into("<III4x16s32s", block, 0, 0xA92B4EFC, 1, self.features, self.array.bytes, self.name)
        struct.pack_into("<Q", block, 64, self.created)
        struct.pack_into("<IIQIIi", block, 72, self.level, 0, self.size_sectors, 0, self.raid_disks, 8)
        struct.pack_into("<QQQQ", block, 128, 2048, self.size_sectors + 8, 8, self.recovery_offset)
        struct.pack_into("<I4x16sB", block, 160, self.number, self.device.bytes, self.device_flags)
        struct.pack_into("<QQQII", block, 192, 1_800_000_000, self.events, 0, 0, len(self.roles))
        struct.pack_into(f"<{len(self.roles)}H", block, 256, *self.roles)
        struct.pack_into("<I", block, 216, superblock_checksum(bytes(block), len(self.roles)))
        return block

    def bitmap(self) -> bytearray:
        """The bitmap's header and bits."""
        size = self.bitmap_size_sectors if self.bitmap_size_sectors is not None else self.size_sectors
        uuid = self.bitmap_uuid or self.array
        head = struct.pack("<II16s", 0x6D746962, 4, uuid.bytes)
        head += struct.pack("<QQQ", self.bitmap_events, self.cleared, size)
        head += struct.pack("<IIII", self.bitmap_state, self.chunk, 5, 0)
        bits = bytearray(-(-self.size_sectors * 512 // self.chunk // 8))
        for chunk in self.dirty:
            bits[chunk >> 3] |= 1 << (chunk & 7)
        return bytearray(head.ljust(256, b"\0")) + bits

    def image(self) -> bytes:
        """What a disk has up to where the data begins."""
        image = bytearray(MIB)
        image[4096:8192] = self.superblock()
        bitmap = self.bitmap()
        image[8192 : 8192 + len(bitmap)] = bitmap
        return bytes(image)


class Image:
    """A `Read` of bytes, which keeps count of what was asked for."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.bytes_read = 0

    async def __call__(self, offset: int, length: int) -> bytes:
        """As a device would: short at the end."""
        assert offset % 4096 == 0, offset
        assert length % 4096 == 0, length
        piece = self._content[offset : offset + length]
        self.bytes_read += len(piece)
        return bytes(piece)
