"""A watchdog device as Linux offers it: linux/watchdog.h and Documentation/watchdog/watchdog-api.rst.

Opening it starts it and every write feeds it; a write that holds a 'V' allows the next close to stop it.
Everything here may block, and raises OSError.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# Numbers of the generic ioctl encoding (x86, ARM): direction << 30 | size << 16 | 'W' << 8 | number.
WDIOC_GETSUPPORT = 0x80285700
WDIOC_SETTIMEOUT = 0xC0045706
WDIOC_GETTIMEOUT = 0x80045707
WDIOF_MAGICCLOSE = 0x0100
WDIOF_ALARMONLY = 0x0400
INFO = struct.Struct("=II32s")  # options, firmware version, identity
SECONDS = struct.Struct("=i")
FOOD, MAGIC = b"\0", b"V"


class Raw(Protocol):
    """An open device file."""

    def ioctl(self, request: int, argument: bytearray) -> None:
        """Send a request; the kernel changes the argument in place."""

    def write(self, data: bytes) -> None:
        """Feed it."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True)
class DeviceInfo:
    """What the device says of itself."""

    identity: str  # "Software Watchdog"
    magic_close: bool  # False: it stops whenever it is closed, so when the agent dies as well
    alarm_only: bool  # True: it doesn't reset the machine


class DeviceFile:
    """The real one. Opening it arms it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def ioctl(self, request: int, argument: bytearray) -> None:
        """See Raw."""
        fcntl.ioctl(self._file, request, argument)

    def write(self, data: bytes) -> None:
        """See Raw."""
        os.write(self._file, data)

    def close(self) -> None:
        """See Raw."""
        os.close(self._file)


def read_info(raw: Raw) -> DeviceInfo:
    """Ask what it is; raises OSError (ENOTTY) for a file that isn't a watchdog."""
    argument = bytearray(INFO.size)
    raw.ioctl(WDIOC_GETSUPPORT, argument)
    options, _, identity = INFO.unpack(argument)
    return DeviceInfo(
        identity=identity.partition(b"\0")[0].decode(errors="replace"),
        magic_close=bool(options & WDIOF_MAGICCLOSE),
        alarm_only=bool(options & WDIOF_ALARMONLY),
    )


def set_timeout(raw: Raw, seconds: int) -> int:
    """Ask for a timeout in seconds; the one in force then: the driver may round or refuse."""
    try:
        raw.ioctl(WDIOC_SETTIMEOUT, bytearray(SECONDS.pack(seconds)))
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY}:
            raise
    argument = bytearray(SECONDS.size)
    raw.ioctl(WDIOC_GETTIMEOUT, argument)
    (real,) = SECONDS.unpack(argument)
    return int(real)


def feed(raw: Raw) -> None:
    """Start its time anew."""
    raw.write(FOOD)


def close(raw: Raw, *, disarm: bool) -> None:
    """Let go of it, stopped or counting on. A device set to `nowayout` counts on in any case."""
    try:
        if disarm:
            raw.write(MAGIC)
    finally:
        raw.close()
