"""Runs the demo; exit code 0 only if everything held. Figures go to build/demo.json."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

from tests.demo.stage import DemoFailed
from tests.demo.story import Figures, tell
from tests.machines.lab import ClusterLab
from tests.machines.leftovers import HostState
from tests.machines.machine import PROJECT, CommandFailed, TimedOut

OUTPUT = PROJECT / "build/demo.json"


def main() -> int:
    """Tell the story in a lab of its own, then make sure that the lab is gone."""
    begun = time.monotonic()
    host = HostState.now()
    for number in (signal.SIGINT, signal.SIGTERM):  # as a job in the background INT is ignored at first
        signal.signal(number, signal.default_int_handler)
    figures = Figures()
    try:
        with ClusterLab() as lab:
            try:
                tell(lab, figures)
            except (DemoFailed, CommandFailed, TimedOut) as problem:
                print(f"\nFAILED: {problem}\n\n{lab.log_tails()}", file=sys.stderr)
                return 1
            if figures.missed:
                print(f"\nFAILED: {'; '.join(figures.missed)}", file=sys.stderr)
                return 1
            pids = [pid for each in (lab.vpc, *lab.machines.values()) for pid in each.everything()]
            directory = lab.directory
    except KeyboardInterrupt:
        print("\ninterrupted; everything was taken down", file=sys.stderr)
        return 130
    if left := host.left(pids, directory):
        print(f"\nFAILED: left behind: {', '.join(left)}", file=sys.stderr)
        return 1
    _write(OUTPUT, figures)
    print(
        f"\nNothing is left behind. Figures: {OUTPUT.relative_to(PROJECT)}. {time.monotonic() - begun:.0f} s."
    )
    return 0


def _write(path: Path, figures: Figures) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(figures.as_json(), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
