"""What an agent costs, and how soon one that crashed speaks again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.outages import RESOURCE
from tests.machines.lab import NODES, ClusterLab
from tests.machines.reference import RUNTIME
from tests.machines.settings import Settings

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
APPLICATIONS = ("cyss_cbgrn", "cyde_5_0")
DEFAULT_CHECKS: Settings = {f"{RESOURCE}.{tag}.check_interval": None for tag in APPLICATIONS}
WITHOUT_AWS: Settings = {
    **DEFAULT_CHECKS,
    f"{RESOURCE}.route-vip": None,
    f"{RESOURCE}.ip-vip.depends_on": ["cyss_cbgrn"],
}


def idle(seconds: float) -> Iterator[Figure]:
    """Agents of a cluster in which nothing happens, at the default check intervals."""
    with ClusterLab(DEFAULT_CHECKS) as lab:
        _settle(lab)
        before = {node: _cpu_s(lab, node) for node in NODES}
        begun = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - begun
        own, with_scripts = [], []
        for node in NODES:
            agent, scripts = (now - then for now, then in zip(_cpu_s(lab, node), before[node], strict=True))
            own.append(100 * agent / took)
            with_scripts.append(100 * (agent + scripts) / took)
        yield Figure("idle agent, both nodes: CPU", "% of a core", tuple(own), 1.0)
        yield Figure("idle agent and the commands it runs: CPU", "% of a core", tuple(with_scripts))
        yield Figure("idle agent with AWS clients: memory (RSS)", "MB", _rss_mb(lab), 110)


def memory_without_aws() -> Iterator[Figure]:
    """Agents of a cluster that needs no AWS."""
    with ClusterLab(WITHOUT_AWS) as lab:
        _settle(lab)
        yield Figure("idle agent without AWS clients: memory (RSS)", "MB", _rss_mb(lab), 60)


def status(times: int) -> Iterator[Figure]:
    """What an operator waits for `kage status`, from its start to its end."""
    with ClusterLab() as lab:
        _settle(lab)
        socket = lab.machines["db-01"].path(f"{RUNTIME}/agent.sock")
        yield Figure("kage status", "ms", tuple(_status_ms(socket) for _ in range(times)), 150)


def _status_ms(socket: Path) -> float:
    begun = time.perf_counter()
    kage = Path(sys.executable).with_name("kage")
    subprocess.run([kage, "--socket", socket, "status"], check=True, capture_output=True, timeout=30)
    return 1_000 * (time.perf_counter() - begun)


def crashes(times: int) -> Iterator[Figure]:
    """`kill -9` of the active's agent until its peer hears the next one."""
    with ClusterLab() as lab:
        _settle(lab)
        yield Figure(
            "kill -9 of the active's agent: heartbeats back",
            "s",
            tuple(_crash(lab) for _ in range(times)),
            1.0,
        )
        lost = lab.events("db-02", "peer-lost")
        assert not lost, lost


def _crash(lab: ClusterLab) -> float:
    lab.agents["db-01"].signal(signal.SIGKILL)
    killed = time.monotonic()
    time.sleep(0.05)  # what was on its way has arrived
    heard = lab.status("db-02").counters.heartbeats_heard
    lab.wait_until(lambda: lab.status("db-02").counters.heartbeats_heard > heard, 10, "heartbeats are back")
    took = time.monotonic() - killed
    lab.wait_in_service("db-01")
    _settle(lab, start=False)
    return took


def _settle(lab: ClusterLab, *, start: bool = True) -> None:
    if start:
        lab.start()
    lab.wait_in_service("db-01")
    lab.wait_until(
        lambda: all(each.comm == "up" for node in NODES for each in lab.status(node).nodes),
        20,
        "every comm path is up",
    )
    time.sleep(2)  # whatever an agent does only once, it has done


def _cpu_s(lab: ClusterLab, node: str) -> tuple[float, float]:
    """Seconds of CPU that the agent used, and that the commands it waited for used."""
    pid = lab.agents[node].pid()
    fields = lab.machines[node].path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    utime, stime, cutime, cstime = (int(field) / TICKS_PER_S for field in fields[11:15])
    return utime + stime, cutime + cstime


def _rss_mb(lab: ClusterLab) -> tuple[float, ...]:
    return tuple(_field_kb(lab, node, "VmRSS") / 1024 for node in NODES)


def _field_kb(lab: ClusterLab, node: str, name: str) -> int:
    text = lab.machines[node].path(f"/proc/{lab.agents[node].pid()}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name}:")))
