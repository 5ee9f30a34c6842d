"""What is printed besides pages: JSON reports, complaints, and the one line that tells of progress."""

from __future__ import annotations

import sys
import time

import msgspec

SPINNER = "|/-\\"
_UNPRINTABLE = dict.fromkeys((*range(32), *range(127, 160)), "�")  # a script's output may hold escapes
_UNPRINTABLE |= {ord("\n"): " ", ord("\t"): " ", ord("\r"): ""}


def printable(text: str) -> str:
    """One line that changes nothing but what it says, whatever a script printed."""
    return text.translate(_UNPRINTABLE)


def print_json(report: object) -> None:
    """One report, indented."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")


def print_json_line(report: object) -> None:
    """One report on one line, at once."""
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    sys.stdout.flush()


def complain(text: str, hint: str = "") -> None:
    """Say on stderr what went wrong and what to do next."""
    lines = "\n".join(printable(line) for line in text.splitlines())
    sys.stderr.write(f"kage: {lines}\n" + (f"  hint: {hint}\n" if hint else ""))


class Progress:
    """One line on a terminal's stderr, written over as things go on; nothing where nobody watches."""

    def __init__(self, *, wanted: bool) -> None:
        self._shown = wanted and sys.stderr.isatty()
        self._since = time.monotonic()
        self._turns = 0

    def tell(self, text: str) -> None:
        """Write over the line."""
        if self._shown:
            self._turns += 1
            took_s = time.monotonic() - self._since
            line = f"{SPINNER[self._turns % len(SPINNER)]} {took_s:5.1f} s  {printable(text)}"
            sys.stderr.write(f"\r\x1b[K{line[:79]}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave no trace of it."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
