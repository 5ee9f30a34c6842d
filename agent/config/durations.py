"""Durations as people write them: "250ms", "2s", "5min", "1h"; kept as whole milliseconds."""

from __future__ import annotations

import re

_UNIT_MS = {"h": 3_600_000, "min": 60_000, "s": 1_000, "ms": 1}  # largest first
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|min|h)")


def parse_duration(text: str) -> int:
    """Milliseconds of a duration such as "250ms"; raises ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a duration: {text!r}")
    count, unit = match.groups()
    return int(count) * _UNIT_MS[unit]


def format_duration(ms: int) -> str:
    """The shortest way to write `ms` (0 or more) so that `parse_duration` gives it back."""
    unit = next(unit for unit, unit_ms in _UNIT_MS.items() if ms % unit_ms == 0 and (ms or unit == "s"))
    return f"{ms // _UNIT_MS[unit]}{unit}"
