"""Which heartbeats count. Pure: it is told the time and the challenges.

A heartbeat counts on a comm path only if it says back a challenge that I sent to that peer on that path
within `dead_after`. So a replayed one is dead on arrival, a link that works one way is seen as down, and
the round trip is measured for free.

Invariants: everything kept is bounded; a datagram's counter counts once per life and path; of two lives
of a peer the present one is the one that answered the newer heartbeat of mine. An incarnation is random
(it makes nonces unique whatever the wall clock does) and so has no order of its own: order comes from
the echoes, and a mistaken turn heals with the next heartbeat.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.comm.codec import MAX_ECHOES, Echo, HeartbeatFrame
from agent.comm.wire import BadDatagram, Reason
from agent.core.ids import Instant, PathId
from agent.core.model import Heartbeat

_CHALLENGES_KEPT = 256  # far more than any preset sends within dead_after
_LIVES_KEPT = 2 * MAX_ECHOES
_LOSS_WINDOW = 100  # heartbeats


@dataclass(frozen=True)
class Moment:
    """One reading of two clocks: the cluster's, and a fine one for round trips in microseconds."""

    at: Instant
    us: int


@dataclass
class _Life:
    """The newest that one incarnation of the peer said on one path."""

    counter: int
    challenge: bytes
    heard: Moment


@dataclass(frozen=True)
class Heard:
    """What an authentic heartbeat amounts to."""

    incarnation: int  # the peer's present life
    answers: Instant  # when I sent the newest heartbeat that it echoes


class PathSession:
    """One peer on one comm path."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._sequence = 0
        self._sent: dict[bytes, Moment] = {}  # my challenges, oldest first
        self._lives: dict[int, _Life] = {}
        self._prompted_at: Instant | None = None
        self.counted_at: Instant | None = None  # the newest heartbeat that counted
        self.rtt_ms: float | None = None  # of that one
        self._newest = 0  # its sequence
        self._window = 0  # bit i: the heartbeat of sequence newest - i counted
        self._span = 0  # how many bits of it mean something

    def sending(
        self, challenge: bytes, now: Moment, present: int | None = None
    ) -> tuple[int, tuple[Echo, ...]]:
        """I send a heartbeat with this challenge now: its sequence, and what it must echo.

        The present life comes first, so that recordings of others can't push it out of the echoes.
        """
        self._sequence += 1
        self._sent[challenge] = now
        if len(self._sent) > _CHALLENGES_KEPT:
            del self._sent[next(iter(self._sent))]
        recent = [each for each in self._lives.items() if self._recent(each[1].heard.at, now.at)]
        recent.sort(key=lambda each: (each[0] != present, -each[1].heard.us))
        echoes = (Echo(life.challenge, max(0, now.us - life.heard.us)) for _, life in recent[:MAX_ECHOES])
        return self._sequence, tuple(echoes)

    def is_new(self, incarnation: int, counter: int) -> bool:
        """Whether a datagram with this counter hasn't been overtaken yet. Cheap: asked before any opening."""
        life = self._lives.get(incarnation)
        return life is None or counter > life.counter

    def learn(self, incarnation: int, counter: int, challenge: bytes, now: Moment, keep: int | None) -> None:
        """Remember an authentic heartbeat's challenge. The life `keep` isn't forgotten for another's sake."""
        self._lives[incarnation] = _Life(counter, challenge, now)
        if len(self._lives) > _LIVES_KEPT:
            others = (each for each in self._lives if each not in (keep, incarnation))
            del self._lives[min(others, key=lambda each: self._lives[each].heard.us)]

    def answered(self, echoes: Iterable[Echo], now: Moment) -> tuple[Moment, int] | None:
        """The newest recent heartbeat of mine among these echoes, and how long it was held (us)."""
        matches = [(sent, echo.held_us) for echo in echoes if (sent := self._sent.get(echo.challenge))]
        newest = max(matches, key=lambda match: match[0].us, default=None)
        return newest if newest and self._recent(newest[0].at, now.at) else None

    def count(self, sequence: int, sent: Moment, held_us: int, now: Moment) -> None:
        """A heartbeat of the present life counted."""
        self.counted_at = now.at
        self.rtt_ms = max(0, now.us - sent.us - held_us) / 1_000
        ahead = sequence - self._newest if self._span else 1
        if ahead > 0:
            self._span = min(_LOSS_WINDOW, self._span + ahead)
            self._window = 1 if ahead >= _LOSS_WINDOW else (self._window << ahead | 1) & _ones(_LOSS_WINDOW)
            self._newest = sequence

    def forget_life(self) -> None:
        """Another life of the peer begins, or its present one has left: nothing has counted yet."""
        self.counted_at = self.rtt_ms = None
        self._newest = self._window = self._span = 0

    def is_up(self, at: Instant) -> bool:
        """Whether a heartbeat has counted within dead_after."""
        return self.counted_at is not None and self._recent(self.counted_at, at)

    def loss_percent(self, at: Instant) -> float | None:
        """Of the peer's last hundred heartbeats; what silence has lasted since counts as lost ones."""
        if self.counted_at is None:
            return None
        silent = max(0, (at - self.counted_at) // self._heartbeat.interval_ms - 1)
        span = min(_LOSS_WINDOW, self._span + silent)
        counted = ((self._window << min(silent, _LOSS_WINDOW)) & _ones(span)).bit_count()
        return 100 * (1 - counted / span)

    def may_prompt(self, at: Instant) -> bool:
        """Whether to answer at once: at most once each interval, so that nobody can drive it."""
        if self._prompted_at is not None and at - self._prompted_at < self._heartbeat.interval_ms:
            return False
        self._prompted_at = at
        return True

    def _recent(self, then: Instant, at: Instant) -> bool:
        return at - then < self._heartbeat.dead_after_ms


class PeerSession:
    """One peer on all comm paths: which of its lives is the present one."""

    def __init__(self, heartbeat: Heartbeat, paths: Iterable[PathId]) -> None:  # best path first
        self.paths = {path: PathSession(heartbeat) for path in paths}
        self.incarnation: int | None = None  # of the present life
        self.left = False  # the present life said goodbye
        self._answered = Instant(0)  # when I sent the newest heartbeat that the present life answered

    def hear(self, path: PathId, incarnation: int, counter: int, frame: HeartbeatFrame, now: Moment) -> Heard:
        """Take in an authentic heartbeat; BadDatagram if it is worth nothing else than its challenge."""
        session = self.paths[path]
        if not session.is_new(incarnation, counter):
            raise BadDatagram(Reason.REPLAY)
        session.learn(incarnation, counter, frame.challenge, now, self.incarnation)
        answered = session.answered(frame.echoes, now)
        if answered is None:
            raise BadDatagram(Reason.UNANSWERED)
        sent, held_us = answered
        if incarnation != self.incarnation:
            if self.incarnation is not None and sent.at <= self._answered:
                raise BadDatagram(Reason.OLD_LIFE)
            self._begin(incarnation)
        self._answered = max(self._answered, sent.at)
        if self.left:
            raise BadDatagram(Reason.OLD_LIFE)  # overtaken by its goodbye on another path
        session.count(frame.sequence, sent, held_us, now)
        return Heard(incarnation, sent.at)

    def routes(self, at: Instant) -> list[PathId]:
        """The comm paths that are up, best first."""
        return [path for path, session in self.paths.items() if session.is_up(at)]

    def leave(self) -> None:
        """The present life has said goodbye."""
        self.left = True
        for session in self.paths.values():
            session.forget_life()

    def _begin(self, incarnation: int) -> None:
        self.incarnation, self.left = incarnation, False
        for session in self.paths.values():
            session.forget_life()


def _ones(count: int) -> int:
    return (1 << count) - 1
