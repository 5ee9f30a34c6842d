"""What was measured, set against its budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

HEAD = f"{'':58}{'n':>4}{'min':>9}{'median':>9}{'max':>9}{'budget':>9}"


@dataclass(frozen=True)
class Figure:
    """One quantity, measured several times. Its budget holds if it does for all of the values."""

    what: str
    unit: str  # such as "s", "MB", "% of a core"; "of it" for a ratio
    values: tuple[float, ...]
    budget: float | None = None  # None: stated for comparison only
    where: str = ""  # where the time goes, in the middle case
    at_least: bool = False  # the budget is the least that will do, not the most

    @property
    def over(self) -> bool:
        """Whether the budget doesn't hold."""
        if self.budget is None:
            return False
        return min(self.values) < self.budget if self.at_least else max(self.values) > self.budget

    @property
    def _missed(self) -> str:
        return "UNDER" if self.at_least else "OVER"

    def line(self) -> str:
        """One line of the table, and a second one for where the time goes."""
        digits = 3 if self.unit in {"s", "of it"} else 2 if self.unit.startswith("%") else 1
        numbers = "".join(
            f"{value:9.{digits}f}" for value in (min(self.values), median(self.values), max(self.values))
        )
        budget, verdict = f"{'-':>9}", ""
        if self.budget is not None:
            budget, verdict = f"{self.budget:9.{digits}f}", self._missed if self.over else "ok"
        line = f"{self.what:58}{len(self.values):4}{numbers}{budget} {self.unit} {verdict}".rstrip()
        return f"{line}\n    {self.where}" if self.where else line

    def as_json(self) -> dict[str, Any]:
        """Plain values, as build/bench.json holds them."""
        return {
            "what": self.what,
            "unit": self.unit,
            "min": round(min(self.values), 4),
            "median": round(median(self.values), 4),
            "max": round(max(self.values), 4),
            "budget": self.budget,
            "over": self.over,
            "values": [round(value, 4) for value in self.values],
            "where": self.where,
        }


def medians(rows: Sequence[Iterable[tuple[str, float]]]) -> str:
    """The median of each named part over all rows, e.g. "silence 2001, ownership 3 ms"."""
    parts: dict[str, list[float]] = {}
    for row in rows:
        for name, value_ms in row:
            parts.setdefault(name, []).append(value_ms)
    return ", ".join(f"{name} {median(values):.0f}" for name, values in parts.items()) + " ms"
