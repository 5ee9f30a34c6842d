"""Writes down heartbeats that pass by, for tests/comm/flood.py: `python capture.py FILE PORT COUNT`."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

_EVERY_PROTOCOL = 0x0003
_UDP = 17


def main() -> None:
    """Until COUNT different datagrams to PORT were seen."""
    path, port, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    seen: dict[bytes, None] = {}  # on a bridge each passes by more than once
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERY_PROTOCOL)) as sock:
        while len(seen) < count:
            packet = sock.recv(65536)
            header_bytes = (packet[0] & 0x0F) * 4
            udp = packet[header_bytes:]
            if packet[0] >> 4 == 4 and packet[9] == _UDP and int.from_bytes(udp[2:4], "big") == port:
                seen[udp[8:]] = None
    path.write_bytes(b"".join(len(each).to_bytes(2, "big") + each for each in seen))


if __name__ == "__main__":
    main()
