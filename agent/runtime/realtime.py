"""Keeping the heartbeat even on a machine that is short of memory and processor time.

Each of these needs a privilege that the service has and a test may not; what isn't permitted is said.
"""

from __future__ import annotations

import ctypes
import logging
import os

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # linux/mman.h: lock what is touched, not what is mapped

_RESET_ON_FORK = os.SCHED_RESET_ON_FORK  # what kits start runs as anything else; new threads do, too

_log = logging.getLogger(__name__)


def take_precedence() -> list[str]:
    """Lock memory and take real-time priority; what wasn't permitted."""
    refused = []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        refused.append(f"locked memory ({os.strerror(ctypes.get_errno())})")
    try:
        os.sched_setscheduler(0, os.SCHED_RR | _RESET_ON_FORK, os.sched_param(1))
    except OSError as error:
        refused.append(f"real-time priority ({error.strerror})")
    return refused


def precede() -> None:
    """Give this thread the event loop's priority for good, if that one has it.

    For threads whose work decides who runs a service. A thread without it that holds the interpreter's
    lock, and gets no processor, holds up the event loop, whatever that one's priority.
    """
    first = os.getpid()  # the thread of that number runs the loop
    if os.sched_getscheduler(first) == os.SCHED_RR | _RESET_ON_FORK:
        os.sched_setscheduler(0, os.SCHED_RR | _RESET_ON_FORK, os.sched_param(1))
