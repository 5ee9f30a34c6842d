"""Pages as people see them, kept in golden/ and read as a diff. KAGE_GOLDEN=write keeps what is drawn now."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

from agent.cli.screen import Page, Screen

GOLDEN = Path(__file__).parent / "golden"


def drawn(page: Page, *, terminal: bool, colour: bool = False, width: int = 80) -> str:
    """The page as it would be printed."""
    out = io.StringIO()
    Screen(out, terminal=terminal, colour=colour, width=width).show(page)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


def hold_against(name: str, page: Callable[[bool], Page]) -> None:
    """Compare both drawings of a page, given whether it is for a terminal, with golden/`name`.txt."""
    on_terminal, piped = drawn(page(True), terminal=True), drawn(page(False), terminal=False)
    now = f"on a terminal of 80 columns\n---------------------------\n{on_terminal}\npiped\n-----\n{piped}"
    kept = GOLDEN / f"{name}.txt"
    if os.environ.get("KAGE_GOLDEN") == "write":
        kept.write_text(now)
    assert now == kept.read_text()
    assert max(map(len, on_terminal.splitlines())) <= 80
