"""The device's numbers are the kernel's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.fencing import device
from agent.fencing.device import INFO, SECONDS

HEADER = Path("/usr/include/linux/watchdog.h")


@pytest.mark.skipif(not HEADER.exists(), reason="needs linux-libc-dev")
def test_numbers_are_those_of_the_kernels_header() -> None:
    header = HEADER.read_text()
    sizes = {"int": SECONDS.size, "struct watchdog_info": INFO.size}
    directions = {"R": 2, "WR": 3}
    calls = re.findall(r"#define\s+(WDIOC_\w+)\s+_IO(R|WR)\(WATCHDOG_IOCTL_BASE, (\d+), ([^)]+)\)", header)
    numbers = {
        name: directions[way] << 30 | sizes[kind] << 16 | ord("W") << 8 | int(number)
        for name, way, number, kind in calls
    }
    flags = {name: int(value, 16) for name, value in re.findall(r"#define\s+(WDIOF_\w+)\s+(0x\w+)", header)}
    known = numbers | flags
    ours = {name: value for name, value in vars(device).items() if name.startswith("WDIO")}
    assert len(ours) == 5
    assert ours == {name: known[name] for name in ours}
