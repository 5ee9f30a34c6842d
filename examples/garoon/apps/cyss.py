"""cyss: a scheduler whose one job writes a tick into cyde each second.

`cyss.py PORT LOCK` goes to the background once its first tick is stored (see background.py), and ends
when cyde doesn't store a tick. Nothing but the standard library.
"""

import socket
import sys
import time

from background import detach

EVERY_S = 1.0
ANSWER_LIMIT_S = 5.0


def tick(port: int) -> None:
    """Store one tick; raises OSError if cyde doesn't say that it is stored."""
    with socket.create_connection(("127.0.0.1", port), ANSWER_LIMIT_S) as engine:
        engine.sendall(b"cyss tick %.3f\n" % time.time())
        if not engine.recv(64).startswith(b"ok "):
            raise ConnectionError("cyde did not store the tick")


def main(port: str, lock: str) -> None:
    """One tick, then the others in the background."""
    tick(int(port))
    detach(lock)
    while True:
        time.sleep(EVERY_S)
        tick(int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
