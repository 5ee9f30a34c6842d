"""Reading a leg: what it knows of its array, and which of its chunks may differ.

Invariant: a leg is read from the device itself, past the page cache, which may hold what was there before
md or the other node wrote. Nothing here writes.
"""

from __future__ import annotations

import asyncio
import mmap
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from recovery_kits.blocking import Blocking
from recovery_kits.mirror.bitmap import HEADER_BYTES, Bitmap, parse_header
from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.superblock import (
    SUPERBLOCK_AT,
    SUPERBLOCK_BYTES,
    NoLeg,
    Superblock,
    parse_superblock,
)

Read = Callable[[int, int], Awaitable[bytes]]
"""Reads `length` bytes at `offset`, both multiples of 4096; fewer at the device's end. Raises OSError."""

_BLOCK = 4096
_PIECE = 1 << 18


@dataclass(frozen=True)
class Leg:
    """One leg of a mirror."""

    superblock: Superblock
    bitmap: Bitmap | None
    why: str = ""  # there is no bitmap to trust


async def read_leg(read: Read) -> Leg | NoLeg:
    """What is on the device behind `read`. Raises only what `read` raises."""
    superblock = parse_superblock(await read(SUPERBLOCK_AT, SUPERBLOCK_BYTES))
    if isinstance(superblock, NoLeg):
        return superblock
    bitmap = await _read_bitmap(read, superblock)
    return Leg(superblock, None, bitmap) if isinstance(bitmap, str) else Leg(superblock, bitmap)


async def _read_bitmap(read: Read, superblock: Superblock) -> Bitmap | str:
    start = superblock.bitmap_at_bytes
    if start is None:
        return "the leg has no bitmap"
    if start < SUPERBLOCK_AT + SUPERBLOCK_BYTES or start % _BLOCK:
        return f"the bitmap would begin at byte {start}"
    header = parse_header(await read(start, _BLOCK), superblock)
    if isinstance(header, str):
        return header
    end, content = HEADER_BYTES + header.bits_bytes, bytearray()
    while len(content) < end:
        wanted = min(_PIECE, -(-(end - len(content)) // _BLOCK) * _BLOCK)
        piece = await read(start + len(content), wanted)
        if len(piece) != wanted:
            return "the bitmap is cut off by the device's end"
        content += piece
    newer = parse_header(bytes(content[:HEADER_BYTES]), superblock)  # a running array writes it meanwhile
    if isinstance(newer, str):
        return newer
    if newer.chunks != header.chunks:
        return "the bitmap was made anew while it was read"
    bits = bytes(content[HEADER_BYTES:end])
    return Bitmap(newer, await asyncio.to_thread(Chunks.from_bits, bits, newer.chunks))


class DeviceReader:
    """A `Read` of a local block device, by O_DIRECT."""

    def __init__(self, device: Path, blocking: Blocking) -> None:
        self._device, self._blocking = device, blocking

    async def __call__(self, offset: int, length: int) -> bytes:
        """Raises OSError; TimeoutError (an OSError) when the disk doesn't answer."""
        return await self._blocking.do(lambda: _read_direct(self._device, offset, length))


def _read_direct(device: Path, offset: int, length: int) -> bytes:
    assert offset % _BLOCK == 0, offset
    assert length % _BLOCK == 0, length
    descriptor = os.open(device, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, length) as buffer:  # O_DIRECT wants memory that is aligned
            got = os.preadv(descriptor, [buffer], offset)
            return buffer[:got]
    finally:
        os.close(descriptor)
