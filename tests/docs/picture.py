"""Draws docs/failover.svg from what `make demo` measured: `python -m tests.docs.picture build/demo.json`.

One bar for each step of the new owner's timeline, from the last heartbeat that was heard; above them what
the client saw. The text is the run's own figures, so a picture never says more than a run did.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

PICTURE = Path(__file__).parents[2] / "docs" / "failover.svg"
WIDTH, LEFT, RIGHT, TOP, ROW = 860, 190, 70, 112, 30  # pixels
COLOURS = {"silence": "#c9770a", "promise": "#d8a657", "ownership": "#7a5cc7", "restore": "#2f855a"}
STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#24292f}.title{font-size:17px;font-weight:600}"
    ".small{font-size:12px;fill:#57606a}"
)


@dataclass(frozen=True)
class Bar:
    """One row: what, from when, for how long (milliseconds)."""

    name: str
    start_ms: int
    length_ms: int
    colour: str


def bars(timeline: dict[str, Any]) -> list[Bar]:
    """The rows of a timeline as `kage timeline --json` has them, and the wait between its first two steps.

    That wait is the rest of the new owner's promise to the old one, which has made itself harmless by then.
    """
    silence, *others = timeline["steps"]
    silent_ms = silence["start_ms"] + silence["length_ms"]
    promise = {
        "name": "promise to it ends",
        "start_ms": silent_ms,
        "length_ms": others[0]["start_ms"] - silent_ms,
    }
    return [
        Bar(each["name"], each["start_ms"], each["length_ms"], COLOURS[each["name"].split()[0]])
        for each in (silence, promise, *others)
    ]


def draw(figures: dict[str, Any]) -> str:
    """The whole picture, as SVG."""
    timeline = figures["timeline"]
    rows, total_ms = bars(timeline), timeline["total_ms"]
    scale = (WIDTH - LEFT - RIGHT) / total_ms
    bottom = TOP + ROW * len(rows)
    title = f"A node dies, and its service goes on: {figures['failover_outage_s']:.2f} s without an answer"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 70}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{bottom + 70}" rx="8" fill="#ffffff" stroke="#d0d7de"/>',
        _text(24, 34, title, "title"),
        *(_text(24, 58 + 18 * number, line, "small") for number, line in enumerate(_story(figures))),
        *_axis(total_ms, scale, bottom),
    ]
    for number, bar in enumerate(rows):
        lines += _row(bar, TOP + ROW * number, scale)
    told = f"{timeline['hierarchy']}, as {timeline['node']} tells it with kage timeline"
    under = f"{told}; one run of make demo, on one machine; 0 s is the last heartbeat heard"
    return "\n".join([*lines, _text(24, bottom + 52, under, "small"), "</svg>", ""])


def _story(figures: dict[str, Any]) -> list[str]:
    switchovers = ", ".join(f"{each:.2f}" for each in figures["switchover_outages_s"])
    moved = f"The same client when an operator moves the service: {switchovers} s."
    parted = f"When both networks between the nodes are cut: {figures['parted_outage_s']:.2f} s."
    return [
        "The power of the active node is cut. A client that writes every 5 ms waits for the other node.",
        f"{moved} {parted}",
    ]


def _axis(total_ms: int, scale: float, bottom: int) -> list[str]:
    marks = [(at_ms, LEFT + at_ms * scale) for at_ms in range(0, total_ms + 1, 500)]
    return [
        f'<path d="M{x:.1f} {TOP - 8}V{bottom + 4}" stroke="#eaeef2"/>'
        + _text(x, bottom + 22, f"{at_ms / 1000:g} s", "small", anchor="middle")
        for at_ms, x in marks
    ]


def _row(bar: Bar, y: int, scale: float) -> list[str]:
    x, width = LEFT + bar.start_ms * scale, max(bar.length_ms * scale, 2.0)
    return [
        _text(LEFT - 12, y + 17, bar.name, anchor="end"),
        f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="18" rx="2" fill="{bar.colour}"/>',
        _text(x + width + 6, y + 17, f"{bar.length_ms} ms", "small"),
    ]


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}"{style}>{escape(words)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(json.loads(Path(sys.argv[1]).read_text())))
