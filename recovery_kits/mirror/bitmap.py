"""md's write-intent bitmap, as each leg keeps it: one bit a chunk, set before the chunk is written.

Invariant: a bitmap is returned only if md itself would take it for this superblock; otherwise the reason.
Source: drivers/md/md-bitmap.h (bitmap_super_t and its notes), md_bitmap_read_sb in drivers/md/md-bitmap.c.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.superblock import SECTOR, Superblock

HEADER_BYTES: Final = 256  # the bits follow

_MAGIC = 0x6D746962  # "bitm"
_VERSION = 4  # bits in little-endian order, neither clustered nor lockless
_HEADER = struct.Struct("<II16sQQQIIII")
_STALE, _WRITE_ERROR = 1 << 1, 1 << 2
_SMALLEST_CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class BitmapHeader:
    """What the bitmap says of itself."""

    events: int  # the array's, when this was written
    events_cleared: int  # the array's, when bits were last cleared: all legs were in sync then
    chunk_bytes: int
    chunks: int
    daemon_sleep_s: int  # how long md waits before it clears the bits of what all legs have
    write_behind: int  # writes that may be outstanding on write-mostly legs; 0: none

    @property
    def bits_bytes(self) -> int:
        """Length of the bits behind the header."""
        return -(-self.chunks // 8)


@dataclass(frozen=True)
class Bitmap:
    """A bitmap to be trusted."""

    header: BitmapHeader
    dirty: Chunks  # what may differ from the other legs


def parse_header(block: bytes, leg: Superblock) -> BitmapHeader | str:
    """The header that begins `block`, or why the bitmap isn't to be trusted."""
    if len(block) < HEADER_BYTES:
        return f"the bitmap's header has {len(block)} bytes"
    magic, version, uuid, events, cleared, size, state, chunk, sleep, behind = _HEADER.unpack_from(block)
    if magic != _MAGIC:
        return "there is no bitmap where the superblock says"
    if version != _VERSION:
        return f"the bitmap has version {version}, not {_VERSION}"
    if UUID(bytes=uuid) != leg.array_uuid:
        return f"the bitmap is of array {UUID(bytes=uuid)}"
    if chunk < _SMALLEST_CHUNK or chunk & (chunk - 1):
        return f"the bitmap's chunks would have {chunk} bytes"
    if size * SECTOR != leg.size_bytes:
        return f"the bitmap is for {size * SECTOR} bytes, the leg mirrors {leg.size_bytes}"
    if state & _STALE:
        return "md has marked the bitmap as out of date"
    if state & _WRITE_ERROR:
        return "the bitmap couldn't be written once"
    if events < leg.events:  # written before the superblock: its bits miss what came after
        return f"the bitmap is out of date: of event {events}, the leg of {leg.events}"
    header = BitmapHeader(
        events=events,
        events_cleared=cleared,
        chunk_bytes=chunk,
        chunks=-(-leg.size_bytes // chunk),
        daemon_sleep_s=sleep,
        write_behind=behind,
    )
    return header if _fits(header, leg) else "the bitmap doesn't fit before the data"


def _fits(header: BitmapHeader, leg: Superblock) -> bool:
    """So that a wrong size never makes anybody read the leg's data, or much of it."""
    start = leg.bitmap_at_bytes
    return start is not None and start + HEADER_BYTES + header.bits_bytes <= leg.data_offset_bytes
