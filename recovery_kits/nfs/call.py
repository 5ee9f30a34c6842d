"""The NULL call of NFS 4 over TCP: answered by any server that works, and changes nothing.

Source: RFC 5531 (RPC: sections 9 and 11), RFC 8881 (program 100003, version 4, procedure 0).
"""

from __future__ import annotations

import asyncio
import secrets
import struct

PORT = 2049
_LAST = 0x8000_0000  # this fragment ends the record
_CALL, _REPLY = 0, 1
_RPC_VERSION, _NFS, _VERSION, _NULL = 2, 100_003, 4, 0
_NO_AUTHENTICATION = (0, 0)  # flavor and length: of credential and verifier
_ACCEPTED, _SUCCESS = 0, 0
_LONGEST_ANSWER = 256  # bytes; the right one has 24


async def null_call(host: str, port: int = PORT) -> None:
    """Return once the server has answered; waits as long as it takes.

    Raises OSError when it refuses or closes the connection, ValueError for another answer.
    """
    xid = secrets.randbits(32)
    words = (xid, _CALL, _RPC_VERSION, _NFS, _VERSION, _NULL, *_NO_AUTHENTICATION, *_NO_AUTHENTICATION)
    call = struct.pack(">10I", *words)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(struct.pack(">I", _LAST | len(call)) + call)
        (head,) = struct.unpack(">I", await reader.readexactly(4))
        answer = await reader.readexactly(min(head & ~_LAST, _LONGEST_ANSWER))
    except asyncio.IncompleteReadError as problem:
        raise ConnectionResetError("it closed the connection") from problem
    finally:
        writer.close()
    if answer != struct.pack(">6I", xid, _REPLY, _ACCEPTED, *_NO_AUTHENTICATION, _SUCCESS):
        raise ValueError(f"an answer that is none: {answer.hex()}")
