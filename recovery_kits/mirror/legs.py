"""What to do about one node's leg: decided from what is seen; nothing is done here.

Keeps:
- a leg is detached only when it is agreed that its copy doesn't count: until then what is written waits;
- nothing is copied onto a leg before that either, for meanwhile it holds a mixture of old and new;
- a copy counts only while md says that it is in sync.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from agent.core.ids import Instant
from recovery_kits.mirror.sysfs import MemberState


class Member(Enum):
    """What md says of the leg."""

    ABSENT = "absent"
    COPYING = "copying"
    IN_SYNC = "in-sync"
    FAULTY = "faulty"


def member_of(found: MemberState | None) -> Member:
    """The same in one word; None: it isn't in the array."""
    if found is None:
        return Member.ABSENT
    if found.faulty or found.bad_blocks:  # a write to it failed: it isn't a copy any more
        return Member.FAULTY
    return Member.IN_SYNC if found.in_sync else Member.COPYING


class Counted(Enum):
    """Whether its copy may be used by whoever owns the hierarchy later."""

    NO = "no"  # agreed
    UNKNOWN = "unknown"  # anything else: it may be
    YES = "yes"  # agreed


class Step(Enum):
    """What comes next for a leg."""

    REST = "rest"
    EXCLUDE = "exclude"  # have it agreed that its copy doesn't count
    INCLUDE = "include"  # have it agreed that its copy is whole
    DETACH = "detach"  # fail and remove it, disconnect its network block device
    ATTACH = "attach"  # connect, copy what differs
    RECONNECT = "reconnect"  # a new connection for the dead one


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is seen of a leg."""

    member: Member
    counted: Counted
    connected: bool  # there is a network block device for it
    link_dead: bool  # the kernel has lost its connection
    troubled_ms: int  # for how long requests have waited or the link has been dead; 0: all is well
    slow: bool  # it answers so late that an operator would rather do without it
    paused: bool  # an operator wants nothing to be copied to it
    afresh: bool  # it shall be detached and attached again
    may_try: bool  # the pause since the last try to connect is over


def decide(facts: Facts, dead_after_ms: int) -> Step:
    """The next step for a leg that shall not hold writes up for longer than `dead_after_ms`."""
    if facts.member is Member.ABSENT:
        return _absent(facts)
    unwanted = facts.paused or facts.afresh or facts.slow
    if unwanted or facts.member is Member.FAULTY or facts.troubled_ms >= dead_after_ms:
        return Step.DETACH if facts.counted is Counted.NO else Step.EXCLUDE
    if facts.troubled_ms > 0:
        return Step.RECONNECT if facts.link_dead and facts.may_try else Step.REST
    if facts.member is Member.COPYING:
        return Step.REST if facts.counted is Counted.NO else Step.EXCLUDE
    return Step.REST if facts.counted is Counted.YES else Step.INCLUDE


def _absent(facts: Facts) -> Step:
    if facts.counted is not Counted.NO:
        return Step.EXCLUDE
    if facts.connected:
        return Step.DETACH
    return Step.ATTACH if facts.may_try and not facts.paused else Step.REST


class Retry:
    """When something that failed is tried again: soon at first, then less often."""

    def __init__(self, *pauses_ms: int) -> None:
        """After each failure in a row; the last one stays."""
        self._pauses_ms = pauses_ms
        self._failures = 0
        self._again_at = Instant(0)

    def may_try(self, now: Instant) -> bool:
        """Whether the pause is over."""
        return now >= self._again_at

    def failed(self, now: Instant) -> None:
        """A try failed: pause."""
        pause_ms = self._pauses_ms[min(self._failures, len(self._pauses_ms) - 1)]
        self._failures, self._again_at = self._failures + 1, Instant(now + pause_ms)

    def hold(self, until: Instant) -> None:
        """It isn't tried before."""
        self._again_at = until

    def over(self) -> None:
        """A try worked, or there is a reason to try at once."""
        self._failures, self._again_at = 0, Instant(0)
