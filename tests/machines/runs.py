"""What machines of namespaces and virtual machines have in common, for whoever doesn't mind which."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class Running(Protocol):
    """A program spawned on some kind of machine."""

    def send(self, number: signal.Signals, /) -> None: ...
    def stop(self, within_s: float = ..., /) -> None: ...


class Runs(Protocol):
    """Some kind of machine: what namespaces and virtual machines have in common."""

    name: str
    logs: Path

    @property
    def on(self) -> bool: ...
    def run(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        within_s: float = ...,
        check: bool = True,
    ) -> str: ...
    def spawn(self, *argv: str, log: str, env: Mapping[str, str] | None = None) -> Running: ...
    def power_off(self) -> None: ...
    def everything(self) -> list[int]: ...
