"""`python -m tests.simulation --seeds 2000`: many seeds on every core; prints figures, or the failure."""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation import faults, options, run

MOST_SHOWN = 5
BATCH = 10  # seeds


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
    total, failed = several(range(args.first, args.first + args.seeds), args.scale, args.jobs)
    after = os.times()
    cpu_s = after.children_user + after.children_system - cpu.children_user - cpu.children_system
    print(told(total, cpu_s, time.monotonic() - began))
    for seed in failed[:MOST_SHOWN]:
        explain(seed, args.scale, args.into)
    print(f"{len(failed)} of {args.seeds} seeds failed: {failed}" if failed else "nothing was violated")
    return 1 if failed else 0


def several(seeds: range, scale: int, jobs: int) -> tuple[run.Figures, list[int]]:
    """What they were worth together, and which failed."""
    batches = [seeds[i : i + BATCH] for i in range(0, len(seeds), BATCH)]
    total, failed = run.Figures(), list[int]()
    with ProcessPoolExecutor(jobs, initializer=gc.freeze) as pool:  # what is loaded stays
        for figures, bad in pool.map(_batch, batches, [scale] * len(batches)):
            total.take_in(figures)
            failed += bad
    return total, failed


def _batch(seeds: range, scale: int) -> tuple[run.Figures, list[int]]:
    figures, failed = run.Figures(), list[int]()
    for seed in seeds:
        chosen = options.draw(seed, scale=scale)
        schedule = faults.draw(chosen)
        gc.disable()  # a world that lives makes little garbage in circles; it takes a quarter of the time
        try:
            figures.add(run.live(chosen, schedule))
        except AssertionError:
            failed.append(seed)
        finally:
            gc.enable()
            gc.collect()
    return figures, failed


def told(total: run.Figures, cpu_s: float, wall_s: float) -> str:
    """The figures, and how often each thing happened."""
    hours, preset_s = total.simulated_ms / 3_600_000, total.grants * 2
    pace = hours / max(cpu_s, 0.01) * 60
    lines = [
        f"{total.worlds:,} worlds, {hours:,.0f} cluster-hours: {total.grants:,} times their own dead_after,",
        f"or {preset_s / 3_600:,.1f} h at the balanced preset; {total.faults:,} faults",
        f"{cpu_s:,.0f} s of CPU in {wall_s:,.0f} s: {pace:,.0f} cluster-hours a CPU-minute",
    ]
    return "\n".join([*lines, *(f"{n:>12,} {what}" for what, n in sorted(total.counts.items()))])


def explain(seed: int, scale: int, into: Path) -> None:
    """Shrink a failure, say how to see it again, write its scenario."""
    chosen = options.draw(seed, scale=scale)
    schedule = run.shrunk(chosen, faults.draw(chosen))
    path = run.written(chosen, schedule, scale, into)
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, timeout=10
    )
    print(f"\nseed {seed} at commit {head.stdout.strip() or 'unknown'}, {len(schedule)} faults are enough:")
    print("\n".join(map(str, schedule)))
    broken = run.fails(chosen, schedule)
    print(f"{broken}\n" + "\n".join(getattr(broken, "__notes__", [])))
    print(f"again: python -m tests.simulation --replay {path}")


if __name__ == "__main__":
    sys.exit(main())
