"""Measures the figures of the cluster and prints them against their budgets; build/bench.json has them all.

Exit code 1 when something couldn't be measured, or, with --strict, when a budget doesn't hold.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import cost, mirror, outages, route_flip, stress
from tests.bench.figures import HEAD, Figure
from tests.machines.machine import PROJECT

OUTPUT = PROJECT / "build/bench.json"


def main() -> int:
    """Measure everything, or what is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions, for development")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a budget doesn't hold")
    parser.add_argument("part", nargs="*", help="only these parts: " + ", ".join(_parts(quick=True)))
    options = parser.parse_args()
    parts = _parts(quick=options.quick)
    if unknown := [each for each in options.part if each not in parts]:
        parser.error(f"there is no part called {', '.join(unknown)}")

    begun, figures = time.monotonic(), list[Figure]()
    print(f"{_machine()}\n\n{HEAD}", flush=True)
    for name in options.part or parts:
        for figure in parts[name]():
            figures.append(figure)
            print(figure.line(), flush=True)
    _write(OUTPUT, figures)
    over = sum(figure.over for figure in figures)
    took_s = time.monotonic() - begun
    print(
        f"\n{over} of {len(figures)} over budget, load {os.getloadavg()[0]:.1f} at the end. "
        f"Figures: {OUTPUT.relative_to(PROJECT)}. {took_s:.0f} s."
    )
    return int(options.strict and over > 0)


def _parts(*, quick: bool) -> dict[str, Callable[[], Iterator[Figure]]]:
    times = 3 if quick else 10
    return {
        "balanced": lambda: outages.outages("balanced", times),
        "fast": lambda: outages.outages("fast", times),
        "address-and-route": lambda: outages.address_and_route(times),
        "address-beside-route": lambda: outages.address_beside_route(times),
        "removal": lambda: outages.removal(times),
        "crashes": lambda: cost.crashes(times),
        "idle": lambda: cost.idle(5 if quick else 30),
        "memory": cost.memory_without_aws,
        "status": lambda: cost.status(times),
        "route-flip": lambda: route_flip.figures(times),
        "mirror": lambda: mirror.figures(3 if quick else 7, 1 if quick else 2),
        "stress-balanced": lambda: stress.false_failovers("balanced", 60 if quick else 600),
        "stress-fast": lambda: stress.false_failovers("fast", 60 if quick else 600),
    }


def _machine() -> str:
    """What it is measured on."""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}, "
        f"load {load:.1f} at the start; everything (both nodes, client, AWS test server) runs on this machine"
    )


def _write(path: Path, figures: list[Figure]) -> None:
    path.parent.mkdir(exist_ok=True)
    content = {"machine": _machine(), "figures": [figure.as_json() for figure in figures]}
    path.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
