"""Runs the demo, `lab` the one in virtual machines; exit code 0 only if everything held.

Figures go to build/demo.json or build/demo-lab.json.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from tests.demo import mirrored, story
from tests.demo.stage import Cluster, DemoFailed, Measured
from tests.lab.image import NotBuilt
from tests.lab.replicated import Replicated
from tests.machines.lab import ClusterLab
from tests.machines.leftovers import HostState
from tests.machines.machine import PROJECT, CommandFailed, TimedOut

L = TypeVar("L", bound=Cluster)
F = TypeVar("F", bound=Measured)


@dataclass(frozen=True)
class Demo(Generic[L, F]):
    """A story, where it happens, and where its figures go."""

    lab: Callable[[], L]
    figures: Callable[[], F]
    tell: Callable[[L, F], None]
    output: Path


NAMESPACES = Demo(ClusterLab, story.Figures, story.tell, PROJECT / "build/demo.json")
MACHINES = Demo(
    lambda: Replicated(filesystem="xfs"), mirrored.Figures, mirrored.tell, PROJECT / "build/demo-lab.json"
)


def main() -> int:
    """Run the demo that is asked for."""
    match sys.argv[1:]:
        case []:
            return run(NAMESPACES)
        case ["lab"]:
            return run(MACHINES)
        case _:
            print("usage: python -m tests.demo [lab]", file=sys.stderr)
            return 2


def run(demo: Demo[L, F]) -> int:
    """Tell the story in a lab of its own, then make sure that the lab is gone."""
    begun = time.monotonic()
    host = HostState.now()
    for number in (signal.SIGINT, signal.SIGTERM):  # as a job in the background INT is ignored at first
        signal.signal(number, signal.default_int_handler)
    figures = demo.figures()
    try:
        with demo.lab() as lab:
            try:
                demo.tell(lab, figures)
            except (DemoFailed, CommandFailed, TimedOut) as problem:
                print(f"\nFAILED: {problem}\n\n{lab.log_tails()}", file=sys.stderr)
                return 1
            if figures.missed:
                print(f"\nFAILED: {'; '.join(figures.missed)}", file=sys.stderr)
                return 1
            pids, directory = lab.processes(), lab.directory
    except NotBuilt as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; everything was taken down", file=sys.stderr)
        return 130
    if left := host.left(pids, directory):
        print(f"\nFAILED: left behind: {', '.join(left)}", file=sys.stderr)
        return 1
    _write(demo.output, figures)
    print(
        f"\nNothing is left behind. Figures: {demo.output.relative_to(PROJECT)}. "
        f"{time.monotonic() - begun:.0f} s."
    )
    return 0


def _write(path: Path, figures: Measured) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(figures.as_json(), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
