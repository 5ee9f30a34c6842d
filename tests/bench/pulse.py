"""Writes down when heartbeats pass by: `python -m tests.bench.pulse FILE INTERFACE PORT`, until it is ended.

One line for each datagram that comes in from the machine behind INTERFACE: the kernel's own timestamp in
nanoseconds, so that a reader that is kept from its core adds nothing; and one line `stall NS MS` whenever
this process, which asks for real-time priority, itself slept STALL_MS longer than it wanted to.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

_EVERY_PROTOCOL, _UDP, _OUTGOING, _TIMESTAMPNS = 0x0003, 17, 4, 35
NAP_S, STALL_MS = 0.01, 50


def main() -> None:
    """Until it is killed; each line is written at once."""
    path, interface, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    with (
        path.open("a", buffering=1) as out,
        socket.socket(socket.AF_PACKET, kind, socket.htons(_EVERY_PROTOCOL)) as sock,
    ):
        sock.bind((interface, _EVERY_PROTOCOL))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
        while True:
            begun = time.monotonic()
            readable, _, _ = select.select([sock], [], [], NAP_S)
            late_ms = (time.monotonic() - begun - NAP_S) * 1_000
            if late_ms > STALL_MS:
                out.write(f"stall {time.time_ns()} {late_ms:.0f}\n")
            if readable:
                _read(sock, port, out.write)


def _read(sock: socket.socket, port: int, write: object) -> None:
    packet, ancillary, _, address = sock.recvmsg(2048, 64)
    header_bytes = (packet[0] & 0x0F) * 4
    is_udp = packet[0] >> 4 == 4 and packet[9] == _UDP
    if address[2] == _OUTGOING or not is_udp:
        return
    if int.from_bytes(packet[header_bytes + 2 : header_bytes + 4], "big") != port:
        return
    for level, what, data in ancillary:
        if (level, what) == (socket.SOL_SOCKET, _TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("qq", data)
            assert callable(write)
            write(f"{seconds * 1_000_000_000 + nanoseconds}\n")


if __name__ == "__main__":
    main()
