"""One notice as it is sent: the facts, what the cluster did, what is left to do; as JSON and as plain text.

Keeps: texts are bounded, and hold nothing that a mail header, a terminal or a log would take for its own.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from agent.core.effects import Notice, Severity
from agent.core.ids import NodeId
from agent.notify.words import NOTHING, WORDS, left_to_do

VERSION = 1  # of the JSON; keys may be added without another
LONGEST_TEXT = 2_000  # characters of a notice's own text: a script may have printed any amount
LONGEST_SUBJECT = 100  # characters; SNS takes no more
_UNPRINTABLE = dict.fromkeys((*range(32), *range(127, 160), 0x2028, 0x2029), " ")


class Logged(Protocol):
    """A notice with its place in this node's log."""

    @property
    def id(self) -> int:
        """Its number, above those of all earlier ones."""

    @property
    def time(self) -> float:
        """Seconds since the epoch."""

    @property
    def node(self) -> NodeId:
        """Who noticed it."""

    @property
    def notice(self) -> Notice:
        """What it says."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """What a destination is given; (cluster, node, id) is one message, however often it comes."""

    cluster: str
    node: str
    id: int
    time: str  # ISO 8601, UTC, milliseconds
    severity: str  # "info" | "warning" | "alarm"
    kind: str  # as in `kage events`; "notices-dropped" and "test" besides
    happened: str
    text: str  # the notice's own words
    did: str
    left: str
    hierarchy: str | None = None
    resource: str | None = None
    peer: str | None = None
    action: str | None = None
    took_ms: int | None = None
    reason: str | None = None

    @property
    def subject(self) -> str:
        """One line of printable ASCII."""
        about = "/".join(each for each in (self.hierarchy, self.resource) if each) or self.peer or ""
        line = f"[{self.cluster}] {self.severity.upper()} {self.node}: {self.kind} {about}".rstrip()
        return line.encode("ascii", "replace").decode()[:LONGEST_SUBJECT]

    @property
    def body(self) -> str:
        """The same for people, in lines."""
        about = {
            "hierarchy": self.hierarchy,
            "resource": self.resource,
            "peer": self.peer,
            "why": self.reason,
        }
        lines = [
            self.happened,
            self.text,
            "",
            f"What the cluster did: {self.did}",
            f"What is left to do: {self.left}",
            "",
            f"{self.severity}, {self.kind}, no. {self.id}; {self.time}",
            f"cluster: {self.cluster}",
            f"node: {self.node}",
            *(f"{name}: {value}" for name, value in about.items() if value),
        ]
        return "\n".join(lines) + "\n"

    def json(self) -> bytes:
        """The same for programs: one object, in which every key is there always."""
        return msgspec.json.encode({"version": VERSION, **asdict(self)})


def message_of(logged: Logged, cluster: str) -> Message:
    """A notice of the log as it is sent."""
    notice, words = logged.notice, WORDS[logged.notice.kind]
    return Message(
        cluster=cluster,
        node=logged.node,
        id=logged.id,
        time=iso_time(logged.time),
        severity=notice.severity.value,
        kind=notice.kind.value,
        happened=words.happened,
        text=one_line(notice.text),
        did=words.did,
        left=left_to_do(notice),
        hierarchy=notice.hierarchy,
        resource=notice.tag,
        peer=notice.peer,
        action=notice.action.value if notice.action else None,
        took_ms=notice.took_ms,
        reason=notice.reason.name.lower().replace("_", "-") if notice.reason else None,
    )


def dropped_message(node: str, cluster: str, last_id: int, text: str) -> Message:
    """Says in the place of what isn't kept any more, up to `last_id`, that it is missing."""
    return Message(
        cluster=cluster,
        node=node,
        id=last_id,
        time=iso_time(time.time()),
        severity=Severity.WARNING.value,
        kind="notices-dropped",
        happened="Notices were dropped that this destination never got.",
        text=text,
        did="It goes on with the oldest that are kept.",
        left="Look at what happened meanwhile: `journalctl -u kagemusha` has every notice in words.",
    )


def sample_message(node: str, cluster: str) -> Message:
    """What `kage notify test` sends."""
    return Message(
        cluster=cluster,
        node=node,
        id=0,
        time=iso_time(time.time()),
        severity=Severity.INFO.value,
        kind="test",
        happened="This is a test.",
        text="an operator wants to know whether notices get here: kage notify test",
        did=NOTHING,
        left=NOTHING,
    )


def one_line(text: str, most: int = LONGEST_TEXT) -> str:
    """A text that somebody else wrote, printable and bounded."""
    line = text.translate(_UNPRINTABLE).encode(errors="replace").decode()
    return line if len(line) <= most else line[: most - 1] + "…"


def iso_time(time_s: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
