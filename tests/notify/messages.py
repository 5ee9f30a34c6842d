"""Notices and messages for tests."""

from __future__ import annotations

from agent.core.effects import Kind, Notice, Severity
from agent.core.ids import HierarchyId, Instant, NodeId, Tag
from agent.notify.message import Message, message_of
from agent.runtime.noticelog import LoggedNotice

ME = NodeId("db-01")


def notice(
    text: str = "it broke",
    *,
    kind: Kind = Kind.RESOURCE_FAILED,
    severity: Severity = Severity.ALARM,
    hierarchy: str | None = "garoon",
    tag: str | None = "ip-vip",
    peer: str | None = None,
) -> Notice:
    return Notice(
        at=Instant(5),
        kind=kind,
        severity=severity,
        text=text,
        hierarchy=HierarchyId(hierarchy) if hierarchy else None,
        tag=Tag(tag) if tag else None,
        peer=NodeId(peer) if peer else None,
    )


def message(text: str = "it broke", number: int = 7) -> Message:
    return message_of(LoggedNotice(number, 1_795_000_000.25, ME, notice(text)), "shop")
