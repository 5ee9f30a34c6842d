"""What is wrong with a configuration, told all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class BadParameter(ValueError):
    """A parameter dataclass's `__post_init__` refuses a value: which key, and what to write instead."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key, self.message = key, message


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong: `cluster.toml:12: hierarchy.app.nodes: no node is called "db-03"`."""

    line: int  # 1 is the first; 0: the whole file
    key: str  # dotted, e.g. hierarchy.groupware.resource.ip-vip.device
    message: str

    def text(self, source: Path) -> str:
        """The problem as people read it."""
        where = f"{source}:{self.line}" if self.line else str(source)
        return ": ".join(part for part in (where, self.key, self.message) if part)


class ConfigError(Exception):
    """A configuration that can't be used; `problems` are all of them, by line."""

    def __init__(self, source: Path, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(problem.text(source) for problem in problems))
        self.source, self.problems = source, tuple(problems)
