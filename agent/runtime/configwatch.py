"""Noticing that the configuration file was changed, by whatever way editors and tools write files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

QUIET_S = 0.3  # a file is read once nothing happened to it for so long

_CHANGES = frozenset({"created", "modified", "moved", "closed"})


class ConfigWatch:
    """Calls `changed` on the loop after the file came to rest, from entering to leaving."""

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path, self._changed = path.absolute(), changed
        self._observer = Observer()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> ConfigWatch:
        loop = asyncio.get_running_loop()
        handler = _Handler(self._path, lambda: loop.call_soon_threadsafe(self._soon, loop))
        self._observer.schedule(handler, str(self._path.parent))
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
    def __init__(self, path: Path, told: Callable[[], object]) -> None:
        self._path, self._told = path, told

    def on_any_event(self, event: FileSystemEvent) -> None:
        concerned = {str(event.src_path), str(event.dest_path)}
        if event.event_type in _CHANGES and str(self._path) in concerned:
            self._told()
