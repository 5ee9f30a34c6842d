"""Levels: in order, bounded, and the first evidence counts."""

from __future__ import annotations

import asyncio

import pytest

from agent.core.ids import NodeId
from agent.fencing import levels
from agent.fencing.contract import FenceFailed, FenceUnanswered
from agent.fencing.levels import Fenced, Level, Levels, NotFenced

NODE = NodeId("db-02")
REFUSED = FenceFailed("refused", "permit it")
SILENT = FenceUnanswered("nobody answered")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "PAUSE_S", 0)


class Scripted:
    """A fence with these results, one for each call."""

    def __init__(self, *results: str | Exception) -> None:
        self.results = list(results)

    async def fence(self, node: NodeId) -> str:
        """The next result."""
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def level(name: str, *results: str | Exception, tries: int = 2) -> tuple[Level, Scripted]:
    fence = Scripted(*results)
    return Level(name=name, fence=fence, tries=tries), fence


def test_the_first_level_with_evidence_ends_it(runner: asyncio.Runner) -> None:
    (first, _), (second, unused) = level("ipmi", "it is off"), level("ec2", "it is stopped")
    fenced = runner.run(Levels([first, second]).fence(NODE))
    assert fenced == Fenced(NODE, "ipmi", "it is off")
    assert str(fenced) == "db-02 is fenced by ipmi: it is off"
    assert unused.results == ["it is stopped"]


def test_a_level_that_is_not_answered_is_tried_again(runner: asyncio.Runner) -> None:
    first, _ = level("ipmi", SILENT, SILENT, "it is off", tries=3)
    assert runner.run(Levels([first]).fence(NODE)).evidence == "it is off"


def test_a_certain_failure_goes_to_the_next_level_at_once(runner: asyncio.Runner) -> None:
    (first, fence), (second, _) = level("ipmi", REFUSED, "late"), level("ec2", "it is stopped")
    assert runner.run(Levels([first, second]).fence(NODE)).level == "ec2"
    assert fence.results == ["late"]


def test_when_every_level_fails_each_is_named_and_nothing_is_tried_for_ever(runner: asyncio.Runner) -> None:
    (first, _), (second, fence) = level("ipmi", REFUSED), level("ec2", SILENT, SILENT, "a third try")
    with pytest.raises(NotFenced) as caught:
        runner.run(Levels([first, second]).fence(NODE))
    assert str(caught.value) == "db-02 is not fenced: ipmi: refused (permit it); ec2: nobody answered"
    assert caught.value.failures == (("ipmi", "refused (permit it)"), ("ec2", "nobody answered"))
    assert fence.results == ["a third try"]


def test_without_a_level_nothing_is_fenced_and_that_is_said(runner: asyncio.Runner) -> None:
    assert not Levels([])
    assert Levels([level("ipmi")[0]])
    with pytest.raises(NotFenced, match="no fencing is configured"):
        runner.run(Levels([]).fence(NODE))
