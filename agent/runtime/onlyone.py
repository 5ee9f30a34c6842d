"""One agent for one directory: two would overwrite what each other knows, or take each other's socket."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


class AlreadyInUse(Exception):
    """Another agent has the directory; says what to do."""


@contextmanager
def only_agent(directories: Iterable[Path]) -> Iterator[None]:
    """Make the directories and hold them; raises AlreadyInUse, or OSError for one that can't be made.

    The lock is on the directory itself, so a full disk doesn't matter, and ends with the process,
    however that ends.
    """
    with ExitStack() as held:
        for directory in dict.fromkeys(each.resolve() for each in directories):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            held.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise AlreadyInUse(
                    f"{directory} is in use by another agent; end that one first, "
                    "or give this one other directories (--state-dir, --runtime-dir)"
                ) from error
        yield
