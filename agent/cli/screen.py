"""How reports get onto the screen: one page, drawn for a terminal or as plain text for a pipe.

A page is a list of grids (aligned columns) and lines. Plain text has every word that the colours
and icons say, is never cut or wrapped, and has no box drawing; a terminal's text fits its width.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from agent.cli.output import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


@dataclass(frozen=True)
class Cell:
    """A piece of text and, for terminals, its rich style; what can't be printed is replaced."""

    text: str
    style: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", printable(self.text))


@dataclass(frozen=True)
class Grid:
    """Rows of cells in aligned columns."""

    rows: Sequence[Sequence[Cell]]
    indent: int = 0


@dataclass(frozen=True)
class Line:
    """Cells put together without gaps; a terminal wraps it under its own beginning. Empty: a blank line."""

    cells: Sequence[Cell] = ()
    indent: int = 0


Page = Sequence[Grid | Line]


class Screen:
    """Standard output, or whatever stands in for it."""

    def __init__(self, out: TextIO, *, terminal: bool, colour: bool, width: int | None = None) -> None:
        self.terminal, self.colour = terminal, colour
        self._out, self._width = out, width

    @classmethod
    def of_stdout(cls) -> Screen:
        """A terminal unless piped; coloured unless NO_COLOR is set (no-color.org)."""
        terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        return cls(sys.stdout, terminal=terminal, colour=terminal and not os.environ.get("NO_COLOR"))

    @property
    def width(self) -> int:
        """Columns there are; what is piped has 80."""
        if self._width is not None:
            return self._width
        return shutil.get_terminal_size().columns if self.terminal else 80

    def show(self, page: Page) -> None:
        """Draw a page below what is there already."""
        if self.terminal:
            self.console().print(drawing(page))
        else:
            self._out.write(plain(page))
        self._out.flush()

    def console(self) -> Console:
        """Rich's side of this screen."""
        from rich.console import Console  # noqa: PLC0415 (costs 30 ms: only where something is drawn)

        return Console(
            file=self._out,
            width=self._width,  # None: the terminal's, also after it changed
            force_terminal=True,
            color_system="auto" if self.colour else None,
            highlight=False,
            legacy_windows=False,
        )


def plain(page: Page) -> str:
    """The page as text, each line ended and without trailing spaces."""
    lines: list[str] = []
    for part in page:
        if isinstance(part, Line):
            lines.append(" " * part.indent + "".join(cell.text for cell in part.cells))
        else:
            lines += _aligned(part)
    return "".join(line.rstrip() + "\n" for line in lines)


def drawing(page: Page) -> RenderableType:
    """The page for rich to draw."""
    from rich.console import Group  # noqa: PLC0415
    from rich.padding import Padding  # noqa: PLC0415

    return Group(*(Padding(_drawn(part), (0, 0, 0, part.indent)) for part in page))


def _drawn(part: Grid | Line) -> RenderableType:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if isinstance(part, Line):
        return Text.assemble(*((cell.text, cell.style) for cell in part.cells))
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(max(map(len, part.rows), default=0)):
        table.add_column(overflow="fold")
    for row in part.rows:
        table.add_row(*(Text(cell.text, cell.style) for cell in row))
    return table


def _aligned(grid: Grid) -> Iterable[str]:
    columns = max(map(len, grid.rows), default=0)
    widths = [
        max((len(row[at].text) for row in grid.rows if at < len(row)), default=0) for at in range(columns)
    ]
    for row in grid.rows:
        cells = (cell.text.ljust(width) for cell, width in zip(row, widths, strict=False))
        yield " " * grid.indent + "  ".join(cells)
