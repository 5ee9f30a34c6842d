"""What the agent takes to keep its heartbeat, where it may; and its clocks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from agent.runtime.clock import boot_id, boottime_ms

TAKE = """
import os, subprocess
from agent.runtime.realtime import take_precedence
refused = take_precedence()
locked = next(line for line in open("/proc/self/status") if line.startswith("VmLck")).split()[1]
child = subprocess.run(["chrt", "-p", "0"], capture_output=True, text=True).stdout
print(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR, int(locked) > 0, "OTHER" in child)
print("; ".join(refused))
"""


def test_each_is_taken_or_named_and_scripts_run_as_anything_else() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TAKE], capture_output=True, text=True, timeout=20, check=True
    )
    what, refused = ended.stdout.splitlines()
    real_time, locked, plain_child = (word == "True" for word in what.split())
    assert real_time != ("real-time priority" in refused)
    assert locked != ("locked memory" in refused)
    assert plain_child


LEND = """
import os, subprocess, threading
from agent.runtime.realtime import precede, take_precedence

def policy():
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK

def see():
    before = policy()
    precede()
    child = subprocess.run(["chrt", "-p", "0"], capture_output=True, text=True).stdout
    print(before, policy(), "OTHER" in child)

def in_thread():
    thread = threading.Thread(target=see)
    thread.start()
    thread.join()

in_thread()
refused = take_precedence()
in_thread()
print("real-time priority" in "; ".join(refused))
"""


def test_a_thread_gets_it_where_the_loop_has_it_and_its_children_do_not() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LEND], capture_output=True, text=True, timeout=20, check=True
    )
    before, after, refused = ended.stdout.splitlines()
    plain = f"{os.SCHED_OTHER} {os.SCHED_OTHER} True"
    assert before == plain
    assert after == (plain if refused == "True" else f"{os.SCHED_OTHER} {os.SCHED_RR} True")


def test_the_clock_is_the_kernels_and_never_goes_back() -> None:
    uptime_ms = float(Path("/proc/uptime").read_text().split()[0]) * 1_000
    first = boottime_ms()
    assert abs(first - uptime_ms) < 60_000
    assert boottime_ms() >= first
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36
