"""All cores busy fourfold: what fails over though nothing failed, and how steadily heartbeats are sent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from agent.api.errors import ApiError
from tests.bench.figures import Figure
from tests.machines.lab import NODES, ClusterLab
from tests.machines.machine import wait_until

INTERVAL_MS = {"balanced": 250, "fast": 37}
DEAD_AFTER_MS = {"balanced": 2_000, "fast": 300}
PORT = 7400
SPIN = "while True: pass"
MOVES = ("ownership-taken", "failover-begun", "fencing-myself")


def false_failovers(preset: str, seconds: float) -> Iterator[Figure]:
    """Both nodes of a healthy cluster, beside four spinning processes for each core."""
    with ClusterLab({"cluster.preset": preset}) as lab:
        lab.start()
        lab.begin_on("db-01")
        _wait_connected(lab)
        mark_ms = round(time.time() * 1_000)
        seen = lab.directory / "heartbeats"
        with _watched(lab, seen), _busy(4 * (os.cpu_count() or 1)):
            time.sleep(seconds)
        alive = [node for node in NODES if _answers(lab, node)]  # a node that fenced itself doesn't
        events = [each for node in alive for each in lab.events(node) if each.at_ms >= mark_ms]
        owner = ", ".join(node for node in NODES if lab.in_service(node)) or "no node"
        gaps_ms, stalls_ms = _read(seen, INTERVAL_MS[preset])
    losses = [each for each in events if each.kind == "peer-lost"]
    moves = [each for each in events if each.kind in MOVES]
    paused_ms = [each.took_ms or _told_ms(each.text) for each in events if each.kind == "paused"]
    stall_ms = max([*stalls_ms, *paused_ms], default=0)
    false = len(moves) + len(NODES) - len(alive)
    what = f"{preset}: all cores busy fourfold for {seconds:.0f} s:"
    told = (
        f"in service on {owner}; {len(paused_ms)} pauses told, the machine's longest stall {stall_ms:.0f} ms"
    )
    limit = 0 if preset == "balanced" or stall_ms < DEAD_AFTER_MS[preset] else None
    yield Figure(f"{what} false failovers", "", (float(false),), limit, told)
    yield Figure(f"{what} peers taken for lost", "", (float(len(losses)),))
    for name, share in (("p50", 0.5), ("p99.9", 0.999), ("max", 1.0)):
        late_ms = gaps_ms[min(round(share * len(gaps_ms)), len(gaps_ms) - 1)]
        yield Figure(f"{what} heartbeat late by, {name}", "ms", (late_ms,))


def _answers(lab: ClusterLab, node: str) -> bool:
    try:
        lab.status(node)
    except ApiError:
        return False
    return True


def _wait_connected(lab: ClusterLab) -> None:
    lab.wait_until(
        lambda: all(each.comm == "up" for node in NODES for each in lab.status(node).nodes),
        20,
        "every comm path is up",
    )


@contextmanager
def _watched(lab: ClusterLab, seen: Path) -> Iterator[None]:
    argv = (sys.executable, "-m", "tests.bench.pulse", str(seen), "db-01-eth0.p", str(PORT))
    lab.vpc.spawn(*argv, log="pulse.log")
    wait_until(lambda: seen.exists() and seen.stat().st_size > 0, 10, "heartbeats are seen")
    yield


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(processes)]
    try:
        yield
    finally:
        for each in spinning:
            each.send_signal(signal.SIGKILL)
            each.wait()


def _read(seen: Path, interval_ms: int) -> tuple[list[float], list[float]]:
    """How late each heartbeat was after the one before, sorted; and the stalls of the machine."""
    lines = [line.split() for line in seen.read_text().splitlines() if line.endswith(tuple("0123456789"))]
    sent = [int(line[0]) / 1_000_000 for line in lines if len(line) == 1]
    gaps = sorted(max(0.0, after - before - interval_ms) for before, after in pairwise(sent))
    return gaps, [float(line[2]) for line in lines if line[0] == "stall" and len(line) == 3]


def _told_ms(text: str) -> int:
    """`this agent was away for 612 ms (…)`."""
    return next((int(word) for word in text.split() if word.isdigit()), 0)
