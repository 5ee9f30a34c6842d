"""Noticing that the configuration or the key file was changed, by whatever way editors and tools write.

What counts is what the path leads to: written in place, renamed over, or reached by another symbolic
link than before (as tools do that switch a whole directory at once).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

QUIET_S = 0.3  # a file is read once nothing happened to it for so long

_READING = frozenset({"opened", "closed_no_write"})  # whatever else is told may be a change


class ConfigWatch:
    """Calls `changed` on the loop after the file came to rest, from entering to leaving."""

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path, self._changed = path.absolute(), changed
        self._observer = Observer()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> ConfigWatch:
        loop = asyncio.get_running_loop()
        _Handler(self._path, self._observer, lambda: loop.call_soon_threadsafe(self._soon, loop)).watch()
        self._observer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._observer.stop()
        self._observer.join(1.0)
        if self._timer is not None:
            self._timer.cancel()

    def _soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(QUIET_S, self._changed)


class _Handler(FileSystemEventHandler):
    """Lives in the observer's thread."""

    def __init__(self, path: Path, observer: BaseObserver, told: Callable[[], object]) -> None:
        self._path, self._observer, self._told = path, observer, told
        self._watches: dict[Path, ObservedWatch] = {}
        self._seen = self._look()

    def watch(self) -> None:
        """Watch the directories that hold the file, and links on the way to it."""
        wanted = _directories(self._path)
        for directory in self._watches.keys() - wanted:
            self._observer.unschedule(self._watches.pop(directory))
        for directory in wanted - self._watches.keys():
            with suppress(OSError):  # gone again: the next change will tell
                self._watches[directory] = self._observer.schedule(self, str(directory))

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in _READING:
            return
        before, self._seen = self._seen, self._look()
        if self._seen is not None and self._seen != before:
            self.watch()
            self._told()

    def _look(self) -> tuple[int, ...] | None:
        """What tells one state of the file from another; None while there is none."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _directories(path: Path) -> set[Path]:
    """Where a change of what `path` leads to can happen."""
    found, todo = {path.resolve().parent}, [path]
    for _ in range(40):  # as many links as the kernel follows
        if not todo:
            break
        step = todo.pop()
        for part in (step, *step.parents):
            if part.is_symlink():
                found.add(part.parent)
                todo.append(part.parent / part.readlink())
    return {directory.resolve() for directory in found}
