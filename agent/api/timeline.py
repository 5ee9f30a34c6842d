"""How a failover, a switchover or a start went: bars made from the notices of the node that took over."""

from __future__ import annotations

from collections.abc import Sequence

from agent.api.reports import EventView, TimelineReport, TimelineStep

_CAUSES = {"owner-lost": "failover", "handed-over": "switchover"}  # by the reason for taking it
_LOST, _SOUGHT, _TAKEN = "peer-lost", "ownership-sought", "ownership-taken"


def timelines(events: Sequence[EventView], limit: int) -> list[TimelineReport]:
    """The newest `limit`, newest first, from events oldest first."""
    starts = [index for index, each in enumerate(events) if each.kind == _SOUGHT]
    return [_timeline(events, index) for index in reversed(starts[-limit:] if limit else [])]


def _timeline(events: Sequence[EventView], sought: int) -> TimelineReport:
    first = events[sought]
    lost = _silence_before(events, sought)
    start_ms, steps = first.at_ms, list[TimelineStep]()
    if lost is not None:
        start_ms = lost.at_ms - (lost.took_ms or 0)
        steps.append(_step(f"silence of {lost.peer}", start_ms, lost.at_ms, start_ms))
    complete, end_ms = False, first.at_ms
    for each in events[sought + 1 :]:
        if each.hierarchy != first.hierarchy:
            continue
        if each.kind in {_SOUGHT, "out-of-service"} or each.at_ms < end_ms:  # time begins anew with each boot
            break
        if each.kind == _TAKEN:
            steps.append(_step("ownership", first.at_ms, each.at_ms, start_ms))
        elif each.kind == "action-finished":
            began_ms = each.at_ms - (each.took_ms or 0)
            outcome = each.text.partition(":")[2].partition(":")[0].strip()  # "restore: failed: why"
            steps.append(_step(f"{each.action} {each.tag}", began_ms, each.at_ms, start_ms, outcome))
        end_ms = each.at_ms
        if each.kind == "in-service":
            complete = True
            break
    return TimelineReport(
        hierarchy=first.hierarchy or "",
        node=first.node,
        cause=_CAUSES.get(first.reason or "", "start"),
        why=first.text.removeprefix("taking it: "),
        start_time=first.time - (first.at_ms - start_ms) / 1_000,
        total_ms=end_ms - start_ms,
        complete=complete,
        steps=steps,
    )


def _silence_before(events: Sequence[EventView], sought: int) -> EventView | None:
    """The loss of a peer that led to this, if that is what did."""
    if events[sought].reason != "owner-lost":
        return None
    return next((each for each in reversed(events[:sought]) if each.kind == _LOST), None)


def _step(name: str, began_ms: int, ended_ms: int, start_ms: int, outcome: str = "ok") -> TimelineStep:
    return TimelineStep(
        name=name, start_ms=began_ms - start_ms, length_ms=ended_ms - began_ms, outcome=outcome
    )
