"""Writes down the time for as long as the machine has power: `python pulse.py FILE`.

The eight bytes in FILE are the newest moment at which something certainly ran there: milliseconds of
CLOCK_BOOTTIME, which all machines of a lab share.
"""

from __future__ import annotations

import os
import sys
import time

EVERY_S = 0.002


def main() -> None:
    """Until the power is cut."""
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        now_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        os.pwrite(file, now_ms.to_bytes(8, "little"), 0)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main()
