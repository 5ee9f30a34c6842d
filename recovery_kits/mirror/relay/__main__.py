"""`python -I -S …/relay SOCKET NAME`: connects to the agent's socket, ends there, and goes on by itself.

What takes long to load comes after that. sys.path[0] is this directory; modules are named from further up.
"""

import os
import socket
import sys
from pathlib import Path

if __name__ == "__main__":
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(sys.argv[1])
    if not os.fork():
        sys.path[0] = str(Path(__file__).resolve().parents[3])
        from recovery_kits.mirror.relay.program import main

        main(sock, sys.argv[2])
