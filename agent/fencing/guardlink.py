"""One guardian as its agent sees it: the memory that they share, the lock that says it lives, the FIFO.

Keeps: a guardian's lock is the guardian's alone. It is taken before the guardian is started, handed over
with the open file, and ends with it; so whoever can take it has found a dead one.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from agent.fencing import guardian

PROGRAM = Path(guardian.__file__)
START_LIMIT_S = 5.0  # until a guardian is ready
_REAP_S = 0.1
_MEMORY = ".guardian"
_SAID_BYTES = 4_096  # of what it says when it is ready, or of why it isn't
_LAUNCHER = ("nice", "-n", "0", "--")  # in memory: a dead disk keeps it waiting, and not the agent's loop


@dataclass(frozen=True)
class Link:
    """A guardian: alive when it was found or launched."""

    path: Path
    memory: int
    poker: int

    @classmethod
    def open(cls, path: Path) -> Link:
        """Raises OSError for one that can't be reached."""
        memory = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            return cls(path, memory, os.open(_poker(path), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:
            os.close(memory)
            raise

    def read(self) -> int:
        """What `write` wrote last; 0 for a file that is cut short."""
        return int.from_bytes(os.pread(self.memory, guardian.WORD, 0), "little")

    def write(self, word: int) -> None:
        """The instant (milliseconds of CLOCK_BOOTTIME), DISARMED or RETIRE."""
        os.pwrite(self.memory, word.to_bytes(guardian.WORD, "little"), 0)

    def poke(self) -> None:
        """Make it look at once."""
        with suppress(BlockingIOError, BrokenPipeError):  # it has pokes enough, or has ended
            os.write(self.poker, b"!")

    def retire(self) -> None:
        """Tell it to end."""
        self.write(guardian.RETIRE)
        self.poke()

    def told(self) -> bytes:
        """What it is for, in the words that it was launched with."""
        return os.pread(self.memory, os.fstat(self.memory).st_size, guardian.TOLD_AT)

    def process(self) -> int | None:
        """A handle (pidfd) of its process, for the caller to close; None when it has ended or isn't ready."""
        number = int.from_bytes(os.pread(self.memory, guardian.WORD, guardian.WORD), "little")
        try:
            handle = os.pidfd_open(number)
        except (OSError, OverflowError):
            return None
        if _is_locked(self.memory):
            return handle
        os.close(handle)  # another process has that number by now
        return None

    def close(self) -> None:
        """Let go of it; it lives on."""
        os.close(self.memory)
        os.close(self.poker)

    def remove(self) -> None:
        """Remove the files of one that has ended."""
        _remove(self.path)


def find(directory: Path) -> Iterator[Link]:
    """The living guardians of a directory; the files of dead ones are removed. Raises OSError."""
    for path in sorted(directory.glob(f"*{_MEMORY}")):
        try:
            link = Link.open(path)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody reads its FIFO: it has ended
                _remove(path)
            continue
        if _is_locked(link.memory):
            yield link
        else:
            link.close()
            _remove(path)


async def launch(directory: Path, told: bytes, word: int) -> tuple[Link, str]:
    """Start a guardian, armed with `word`; returns it when it is ready, and what it wasn't permitted.

    Raises OSError; ChildProcessError, which is one, with what it says where it doesn't get ready in time.
    """
    link, reader, process = _start(directory / f"{secrets.token_hex(4)}{_MEMORY}", told, word)
    try:
        return link, await _until_ready(reader)
    except BaseException:  # nobody waits for it any more: if it comes late, it ends
        link.retire()
        link.close()
        process.kill()
        raise
    finally:
        os.close(reader)
        with suppress(subprocess.TimeoutExpired):  # it has gone already, its child is the guardian
            process.wait(_REAP_S)


def _start(path: Path, told: bytes, word: int) -> tuple[Link, int, subprocess.Popen[bytes]]:
    """Start its process; returns the link, the pipe that it speaks into, and the process."""
    content = word.to_bytes(guardian.WORD, "little") + bytes(guardian.WORD) + told
    with ExitStack() as lent, ExitStack() as undo:
        undo.callback(_remove, path)
        memory = _lend(lent, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        fcntl.flock(memory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.pwrite(memory, content, 0)
        os.mkfifo(_poker(path), 0o600)
        pokes = _lend(lent, os.open(_poker(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        link = Link.open(path)
        undo.callback(link.close)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        undo.callback(os.close, reader)
        _lend(lent, writer)
        process = subprocess.Popen(
            (*_LAUNCHER, sys.executable, "-I", "-S", str(PROGRAM), str(memory)),
            stdin=pokes,
            stdout=writer,
            stderr=writer,
            pass_fds=(memory,),
            cwd="/",
            env={},
            start_new_session=True,
        )
        undo.pop_all()  # the caller's from here on
    return link, reader, process


async def _until_ready(reader: int) -> str:
    """Read what it says until it says no more."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    said = b""

    def read() -> None:
        nonlocal said
        said += (more := os.read(reader, _SAID_BYTES))
        if not more and not ended.done():
            ended.set_result(None)

    loop.add_reader(reader, read)
    try:
        await asyncio.wait([ended], timeout=START_LIMIT_S)
    finally:
        loop.remove_reader(reader)
    first, _, rest = said.decode(errors="replace").partition("\n")
    if first != guardian.READY:
        raise ChildProcessError((first + rest)[-_SAID_BYTES:] or f"no answer within {START_LIMIT_S:g} s")
    return rest


def _lend(lent: ExitStack, file: int) -> int:
    """The guardian gets this file; the agent doesn't keep it."""
    lent.callback(os.close, file)
    return file


def _is_locked(memory: int) -> bool:
    """Does another process hold this file?"""
    try:
        fcntl.flock(memory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(memory, fcntl.LOCK_UN)
    return False


def _poker(path: Path) -> Path:
    return path.with_suffix(".poke")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _poker(path).unlink(missing_ok=True)
