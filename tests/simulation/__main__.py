"""`python -m tests.simulation --seeds 2000`: many seeds on every core; prints figures, or the failure."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation import faults, options, run

MOST_SHOWN = 5


def main() -> int:
    """0 if nothing was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument(
        "--scale", type=int, default=0, help="times the balanced preset; 0: drawn by the seed"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", type=Path, help="a scenario file instead")
    parser.add_argument("--into", type=Path, default=Path(), help="where scenario files of failures go")
    args = parser.parse_args()
    if args.replay:
        run.replay(args.replay)
        print("nothing was violated")
        return 0
    began, cpu = time.monotonic(), os.times()
    seeds = range(args.first, args.first + args.seeds)
    batches = [list(seeds[i :: args.jobs * 8]) for i in range(args.jobs * 8)]
    total, failed = run.Figures(), list[int]()
    with ProcessPoolExecutor(args.jobs) as pool:
        for figures, bad in pool.map(some, batches, [args.scale] * len(batches)):
            add(total, figures)
            failed += bad
    after = os.times()
    cpu_s = after.children_user + after.children_system - cpu.children_user - cpu.children_system
    show(total, cpu_s, time.monotonic() - began)
    for seed in sorted(failed)[:MOST_SHOWN]:
        explain(seed, args.scale, args.into)
    return 1 if failed else 0


def some(seeds: list[int], scale: int) -> tuple[run.Figures, list[int]]:
    """A batch: what it was worth, and which seeds failed."""
    figures, failed = run.Figures(), list[int]()
    for seed in seeds:
        chosen = options.draw(seed, scale=scale)
        schedule = faults.draw(chosen)
        try:
            figures.add(run.live(chosen, schedule), len(schedule))
        except AssertionError:
            failed.append(seed)
    return figures, failed


def add(total: run.Figures, figures: run.Figures) -> None:
    """Sum them up."""
    for name, value in vars(figures).items():
        setattr(total, name, getattr(total, name) + value)


def show(total: run.Figures, cpu_s: float, wall_s: float) -> None:
    """One line for each figure."""
    hours = total.simulated_ms / 3_600_000
    print(f"{total.worlds} worlds, {hours:,.0f} cluster-hours, {total.grants:,} times dead_after")
    print(f"{total.heartbeats:,} heartbeats, {total.steps:,} steps, {total.writes:,} arbiter writes")
    print(
        f"{total.faults:,} faults; " + ", ".join(f"{n:,} {what}" for what, n in sorted(total.counts.items()))
    )
    pace = hours / max(cpu_s, 0.01) * 60
    print(f"{cpu_s:.0f} s of CPU in {wall_s:.0f} s: {pace:,.0f} cluster-hours a CPU-minute")


def explain(seed: int, scale: int, into: Path) -> None:
    """Shrink a failure, say how to see it again, write its scenario."""
    chosen = options.draw(seed, scale=scale)
    schedule = run.shrunk(chosen, faults.draw(chosen))
    path = run.written(chosen, schedule, scale, into)
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    print(f"\nseed {seed} at commit {head.stdout.strip() or 'unknown'}, {len(schedule)} faults are enough:")
    print("\n".join(map(str, schedule)))
    broken = run.fails(chosen, schedule)
    print(f"{broken}\n" + "\n".join(getattr(broken, "__notes__", [])))
    print(f"again: python -m tests.simulation --replay {path}")


if __name__ == "__main__":
    sys.exit(main())
