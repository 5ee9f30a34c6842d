"""What the comm layer counts. Nothing dropped is logged one by one: a flood must not fill a disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from agent.comm.wire import Reason


class Trouble(Enum):
    """What else, beside `Reason`, is counted under `dropped`: the whole list."""

    SEND_FAILED = "send-failed"  # the kernel refused a heartbeat: no route, no address, a firewall
    RECEIVE_FAILED = "receive-failed"
    QUEUE_FULL = "queue-full"  # a message, because too many wait for that peer
    NO_PATH = "no-path"  # a message, because no comm path to that peer is up
    UNDELIVERED = "undelivered"  # a message that nobody acknowledged in time
    TOO_LONG = "too-long"  # a message or report above a frame's limit
    STRANGER = "stranger"  # a connection from an address that isn't a peer's
    CROWD = "crowd"  # a connection, because too many haven't proven themselves
    HANDSHAKE = "handshake"  # a connection that didn't prove itself in time


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Heartbeats, and what was dropped by reason, since this agent started."""

    heartbeats_sent: int
    heartbeats_heard: int  # those that counted
    dropped: dict[str, int]


class Tally:
    """Counts them."""

    def __init__(self) -> None:
        self.sent = self.heard = 0
        self._dropped: Counter[Reason | Trouble] = Counter()

    def drop(self, why: Reason | Trouble) -> None:
        """One more dropped."""
        self._dropped[why] += 1

    def counters(self) -> Counters:
        """The figures so far."""
        dropped = {why.value: count for why, count in self._dropped.items()}
        return Counters(heartbeats_sent=self.sent, heartbeats_heard=self.heard, dropped=dropped)
