"""How a failover, a switchover or a start went: bars made from the notices of the node that took over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent.api.reports import EventView, TimelineReport, TimelineStep

_CAUSES = {"owner-lost": "failover", "handed-over": "switchover"}  # by the reason for taking it
_LOST, _SOUGHT, _TAKEN, _DENIED = "peer-lost", "ownership-sought", "ownership-taken", "ownership-denied"
_CONFIRMATION = "confirmation"
_FENCING, _FENCED, _NOT_FENCED = "fencing-peer", "peer-fenced", "fencing-failed"


class _Step(NamedTuple):
    name: str
    began_ms: int
    ended_ms: int
    outcome: str = "ok"


def timelines(events: Sequence[EventView], limit: int) -> list[TimelineReport]:
    """The newest `limit`, newest first, from events oldest first."""
    starts = [index for index, each in enumerate(events) if each.kind == _SOUGHT]
    return [_timeline(events, index) for index in reversed(starts[-limit:] if limit else [])]


def _timeline(events: Sequence[EventView], sought: int) -> TimelineReport:
    first = events[sought]
    lost = _lost_before(events, sought)
    before = events[lost:sought] if lost is not None else ()
    after = [first, *_until_the_end(events[sought + 1 :], first)]
    steps = [
        *_silence(before),
        *_confirmation(before, first),
        *_fencing([*before, *after], first),
        *_here(after, first),
    ]
    steps.sort(key=lambda each: each.began_ms)
    start_ms, end_ms = min([first.at_ms, *(each.began_ms for each in steps)]), after[-1].at_ms
    return TimelineReport(
        hierarchy=first.hierarchy or "",
        node=first.node,
        cause=_CAUSES.get(first.reason or "", "start"),
        why=first.text.removeprefix("taking it: "),
        start_time=first.time - (first.at_ms - start_ms) / 1_000,
        total_ms=end_ms - start_ms,
        complete=after[-1].kind == "in-service",
        steps=[
            TimelineStep(
                name=each.name,
                start_ms=each.began_ms - start_ms,
                length_ms=each.ended_ms - each.began_ms,
                outcome=each.outcome,
            )
            for each in steps
        ],
    )


def _lost_before(events: Sequence[EventView], sought: int) -> int | None:
    """Where the loss of the owner is told that led to this, if that is what did."""
    first = events[sought]
    if first.reason != "owner-lost":
        return None
    for index in range(sought - 1, -1, -1):
        each = events[index]
        if each.peer == first.peer and each.kind in {_LOST, "peer-alive"}:
            same_boot = each.at_ms <= first.at_ms  # time begins anew with each boot
            return index if each.kind == _LOST and same_boot else None
    return None


def _until_the_end(events: Sequence[EventView], first: EventView) -> Iterator[EventView]:
    """What happened to the hierarchy, and to the lost owner, until it was in service or gone again."""
    at_ms = first.at_ms
    for each in events:
        fence = each.kind in {_FENCED, _NOT_FENCED} and each.peer == first.peer  # told of no hierarchy
        if each.hierarchy != first.hierarchy and not fence:
            continue
        if each.at_ms < at_ms or each.kind in {_SOUGHT, "out-of-service"}:
            return
        yield each
        at_ms = each.at_ms
        if each.kind == "in-service":
            return


def _silence(before: Sequence[EventView]) -> Iterator[_Step]:
    if before:
        lost = before[0]
        yield _Step(f"silence of {lost.peer}", lost.at_ms - (lost.took_ms or 0), lost.at_ms)


def _confirmation(before: Sequence[EventView], first: EventView) -> Iterator[_Step]:
    """From the question, an alarm, to its last answer."""
    told = [each for each in before if (each.kind, each.hierarchy) == (_CONFIRMATION, first.hierarchy)]
    if told:
        yield _Step("confirmation", told[0].at_ms, told[-1].at_ms)


def _fencing(story: Sequence[EventView], first: EventView) -> Iterator[_Step]:
    """From the first try to the evidence. Only a failure that reads otherwise than the last is told."""
    about = [each for each in story if each.peer is not None and each.peer == first.peer]
    began = next((each for each in about if each.kind == _FENCING), None)
    if began is None:
        return
    evidence = next((each for each in about if each.kind == _FENCED), None)
    failed = any(each.kind == _NOT_FENCED for each in about)
    outcome = "ok" if evidence is not None else "failed" if failed else "under way"
    yield _Step(f"fencing {first.peer}", began.at_ms, (evidence or story[-1]).at_ms, outcome)


def _here(after: Sequence[EventView], first: EventView) -> Iterator[_Step]:
    """Ownership, and every action of a kit."""
    for each in after:
        if each.kind in {_TAKEN, _DENIED}:
            yield _Step("ownership", first.at_ms, each.at_ms, "ok" if each.kind == _TAKEN else "denied")
        elif each.kind == "action-finished":
            outcome = each.text.partition(":")[2].partition(":")[0].strip()  # "restore: failed: why"
            yield _Step(f"{each.action} {each.tag}", each.at_ms - (each.took_ms or 0), each.at_ms, outcome)
