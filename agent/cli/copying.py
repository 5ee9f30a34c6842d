"""How far a copy onto a node's disk is, in words."""

from __future__ import annotations

from agent.api.mirrors import LegDetails
from agent.cli.sizes import show_bytes, show_seconds


def progress(leg: LegDetails) -> str:
    """How far a copy is, e.g. "43 % copied, 57.3 GiB left at 118 MiB/s, 8 min to go"; empty without one."""
    if leg.state != "copying":
        return ""
    parts = [f"{leg.percent:.0f} % copied" if leg.percent is not None else "being copied to"]
    if leg.bytes_left is not None:
        rate = f" at {show_bytes(leg.rate_bytes_per_s)}/s" if leg.rate_bytes_per_s is not None else ""
        parts.append(f"{show_bytes(leg.bytes_left)} left{rate}")
    if leg.seconds_left is not None:
        parts.append(f"{show_seconds(leg.seconds_left)} to go")
    return ", ".join(parts)
