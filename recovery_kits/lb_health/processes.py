"""The responders on this machine, and their certain end; see recovery_kits/processes.py.

All of it blocks, for milliseconds and `end` for its limit: call it in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recovery_kits import processes
from recovery_kits.lb_health import responder
from recovery_kits.processes import Process

PROGRAM = Path(responder.__file__)
FLAGS = ("-I", "-S")  # of the interpreter


@dataclass(frozen=True)
class Responder:
    """One process, and what it does."""

    pid: int
    owner: str
    duty: str


def responders(owner: str) -> list[Responder]:
    """Those of one owner; an owner's name is unique on this machine."""
    found = map(_read, processes.running(responder.NAME, lambda each: _is_of(each, owner)))
    return [each for each in found if each is not None]


def end(owner: str, limit_s: float) -> None:
    """Kill all of an owner's, and return when they are gone; raises as `processes.end`."""
    processes.end(responder.NAME, lambda each: _is_of(each, owner), limit_s)


def _is_of(process: Process, owner: str) -> bool:
    found = _read(process)
    return found is not None and found.owner == owner


def _read(process: Process) -> Responder | None:
    """The responder that this process is, or None."""
    match process.argv:
        case [_, *flags, script, owner, duty] if (*flags, Path(script).name) == (*FLAGS, PROGRAM.name):
            return Responder(process.pid, owner, duty)
    return None
