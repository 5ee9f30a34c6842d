"""Keeping the heartbeat even on a machine that is short of memory and processor time.

Each of these needs a privilege that the service has and a test may not; what isn't permitted is said.
"""

from __future__ import annotations

import ctypes
import logging
import os

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # linux/mman.h: lock what is touched, not what is mapped

_log = logging.getLogger(__name__)


def take_precedence() -> list[str]:
    """Lock memory and take real-time priority; what wasn't permitted."""
    refused = []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        refused.append(f"locked memory ({os.strerror(ctypes.get_errno())})")
    try:  # reset on fork: what kits start runs as anything else
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError as error:
        refused.append(f"real-time priority ({error.strerror})")
    return refused
