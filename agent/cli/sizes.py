"""Amounts of bytes, as people write and read them."""

from __future__ import annotations

import re

_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}
_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?) ?([kmgt]?i?)b?(?:/s)?", re.IGNORECASE)


def parse_rate(text: str) -> int:
    """Bytes in a second of "50MB", "1.5 GiB/s", "0"; raises ValueError."""
    found = _RATE.fullmatch(text.strip())
    if found is None or (unit := found[2].lower()) not in _UNITS:
        raise ValueError(f'"{text}" is not an amount such as 50MB, 1.5GiB or 0')
    return round(float(found[1]) * _UNITS[unit])


def show_bytes(count: float) -> str:
    """Three digits or so: "812 B", "5.7 GiB"."""
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1_000:
            break
        size, unit = size / 1_024, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


def show_seconds(seconds: float) -> str:
    """About so long: "0.8 s", "62 s", "8 min", "3 h"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.0f} h"
