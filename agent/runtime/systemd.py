"""Telling systemd that the agent is ready, alive and ending; nothing happens where there is no systemd."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

try:
    from systemd.daemon import notify as _notify_systemd
except ImportError:  # systemd-python isn't installed: the protocol is one datagram
    _notify_systemd = None


def notify(state: str) -> None:
    """Send e.g. "READY=1". Source: sd_notify(3)."""
    if _notify_systemd is not None:
        _notify_systemd(state)
        return
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return
    if address[0] == "@":  # an abstract socket
        address = f"\0{address[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            return  # systemd's queue is full or it is gone: the next one will do


def watchdog_period_s() -> float | None:
    """How often systemd wants to hear from this process; None if it doesn't watch it."""
    limit_us = os.environ.get("WATCHDOG_USEC", "")
    watched = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(limit_us) / 1_000_000 / 3 if limit_us.isdigit() and watched else None


async def feed_watchdog(alive: Callable[[], bool]) -> None:
    """Say that the loop turns and the core is stepped, until cancelled."""
    period_s = watchdog_period_s()
    while period_s is not None:
        if alive():
            notify("WATCHDOG=1")
        await asyncio.sleep(period_s)


def under_systemd() -> bool:
    """Does systemd's journal take this process's output?"""
    return "JOURNAL_STREAM" in os.environ
