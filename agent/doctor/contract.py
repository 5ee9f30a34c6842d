"""What the doctor's checks say, and how they are told that something couldn't be found out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

T = TypeVar("T")


class Outcome(Enum):
    """A check's three answers."""

    OK = "ok"
    PROBLEM = "problem"
    UNKNOWN = "unknown"  # nobody could tell


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one check says of one thing."""

    outcome: Outcome
    text: str  # what is so, or why it couldn't be told
    remedy: str = ""  # the command or console step that mends it; of an OK: ""


class Untold(Exception):
    """Something couldn't be looked at: why, and what the operator can do about that."""

    def __init__(self, why: str, step: str = "") -> None:
        super().__init__(why)
        self.why, self.step = why, step


def told(answer: T | Untold) -> T:
    """The answer; raises Untold where there is none. The runner makes an UNKNOWN of it."""
    if isinstance(answer, Untold):
        raise answer
    return answer


def ok(text: str) -> Verdict:
    """It is as it should be."""
    return Verdict(outcome=Outcome.OK, text=text)


def problem(text: str, remedy: str) -> Verdict:
    """It certainly isn't."""
    return Verdict(outcome=Outcome.PROBLEM, text=text, remedy=remedy)


def unknown(text: str, remedy: str = "") -> Verdict:
    """Nobody could tell."""
    return Verdict(outcome=Outcome.UNKNOWN, text=text, remedy=remedy)
