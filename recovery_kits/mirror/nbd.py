"""What everything here that speaks NBD shares: its flags and its error."""

from __future__ import annotations

from enum import IntFlag


class Flag(IntFlag):
    """What a server says of an export (the protocol's transmission flags); others are kept as they are."""

    HAS_FLAGS = 1 << 0
    READ_ONLY = 1 << 1
    FLUSH = 1 << 2  # NBD_CMD_FLUSH makes durable whatever was answered before
    FUA = 1 << 3  # a write may ask to be durable when it is answered
    TRIM = 1 << 5
    MULTI_CONNECTION = 1 << 8  # what one connection flushes is durable for all of them


class NbdError(Exception):
    """Something about a network block device failed. Reads `10.0.3.4:10809/dir1: no answer within 5 s`.

    `errno` is the system's, 0 where there is none.
    """

    def __init__(self, subject: str, reason: str, errno: int = 0) -> None:
        super().__init__(f"{subject}: {reason}")
        self.subject, self.reason, self.errno = subject, reason, errno
