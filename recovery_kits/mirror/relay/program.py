"""The relay's life: told where to connect, answers what came of it, carries bytes until either side ends."""

from __future__ import annotations

import asyncio
import os
import socket
import syslog
from pathlib import Path

from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.relay.backlog import Bound, Record
from recovery_kits.mirror.relay.behind import Behind
from recovery_kits.mirror.relay.dial import BUFFER_BYTES, Stream, dial
from recovery_kits.mirror.relay.order import LINE_BYTES, Behindhand, Order, answer

_PIECE_BYTES = 1 << 18


def main(sock: socket.socket, name: str) -> None:
    """Serve the agent at the other end, and then the kernel, in a session of its own."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    why = asyncio.run(relay(sock, name))
    if why:
        syslog.syslog(f"{name}: {why}")


async def relay(sock: socket.socket, name: str) -> str:
    """Until either side has ended; why, or "" when that was no failure."""
    reader, writer = await asyncio.open_connection(sock=sock, limit=BUFFER_BYTES)
    kernel, target = Stream(reader, writer, name), None
    try:
        line = await reader.readline()  # a spare one's comes late, or never: then the socket ends
        if not line.endswith(b"\n") or len(line) > LINE_BYTES:
            return "it was told nothing"
        try:
            order = Order.of(line)
            target, found = await dial(order)
        except NbdError as error:
            await kernel.send(answer(error))  # whoever asked tells it
            return ""
        behind = None if order.behind is None else _behind(kernel, target, order.behind, found.size_bytes)
        await kernel.send(answer(found))
        return await (carry(kernel, target) if behind is None else behind.carry())
    except OSError as error:
        return f"ended: {error}"
    finally:
        for each in (kernel, target):
            if each is not None:
                each.abort()


def _behind(kernel: Stream, target: Stream, told: Behindhand, size_bytes: int) -> Behind:
    """With an empty record: whoever started us knows what the one before says."""
    directory = Path(told.directory)
    record = Record(directory / "record", size_bytes)
    (directory / "report").unlink(missing_ok=True)
    return Behind(kernel, target, Bound(told.most_bytes, told.within_ms), record, directory / "report")


async def carry(kernel: Stream, target: Stream) -> str:
    """Bytes both ways, as they come; what waits inside has a bound. Why it ended."""
    ways = {
        asyncio.create_task(_one_way(kernel, target)): "the kernel",
        asyncio.create_task(_one_way(target, kernel)): "the target",
    }
    ended, others = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for each in others:
        each.cancel()
    return f"{ways[ended.pop()]} ended the connection"


async def _one_way(source: Stream, sink: Stream) -> None:
    try:
        while piece := await source.reader.read(_PIECE_BYTES):
            await sink.send(piece)
    except OSError:  # a dead connection, on either side: the end
        return
