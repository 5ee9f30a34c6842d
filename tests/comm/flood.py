"""Sends datagrams as fast as it can: `python flood.py SECONDS FILE PORT ADDRESS...`.

FILE holds genuine datagrams, each after its length (2 bytes, big-endian). Every round sends to each
address: each of them again, cut short, with one bit turned, with a fresh incarnation; and noise.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_INCARNATION = slice(34, 42)  # in the header


def hostile(genuine: list[bytes], chance: random.Random) -> Iterator[bytes]:
    for datagram in genuine:
        yield datagram
        yield datagram[: chance.randrange(len(datagram))]
        turned = bytearray(datagram)
        turned[chance.randrange(len(turned))] ^= 1 << chance.randrange(8)
        yield bytes(turned)
        forged = bytearray(datagram)
        forged[_INCARNATION] = chance.randbytes(8)
        yield bytes(forged)
        yield chance.randbytes(chance.randrange(1_500))


def read(path: Path) -> list[bytes]:
    data, datagrams = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:2], "big")
        datagrams.append(data[2 : 2 + length])
        data = data[2 + length :]
    return datagrams


def main() -> None:
    seconds, path, port, *addresses = sys.argv[1:]
    datagrams = list(hostile(read(Path(path)), random.Random(1)))
    sent, end = 0, time.monotonic() + float(seconds)
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        while time.monotonic() < end:
            for address in addresses:
                for datagram in datagrams:
                    sock.sendto(datagram, (address, int(port)))
                    sent += 1
    print(sent)


if __name__ == "__main__":
    main()
