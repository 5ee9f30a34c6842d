"""Which heartbeats count, by given times and challenges."""

from __future__ import annotations

import pytest

from agent.comm.codec import MAX_ECHOES, Echo, HeartbeatFrame
from agent.comm.paths import Heard, Moment, PathSession, PeerSession
from agent.comm.wire import BadDatagram, Reason
from agent.core.ids import Instant
from agent.core.model import Heartbeat
from tests.comm.world import ENI_0, ENI_1

SETTINGS = Heartbeat(interval_ms=250, dead_after_ms=2_000)
LIFE = 5


def at(ms: float) -> Moment:
    return Moment(Instant(int(ms)), round(ms * 1_000))


def challenge(number: int) -> bytes:
    return number.to_bytes(8, "big")


def frame(sequence: int = 1, mine: bytes = b"peer's..", *echoes: Echo) -> HeartbeatFrame:
    return HeartbeatFrame(
        sequence=sequence,
        challenge=mine,
        echoes=echoes,
        leaving=False,
        version="",
        config_digest="",
        known=None,
        revision=None,
    )


def peer() -> PeerSession:
    """A peer to whom challenge 1 was sent at 1 s on both paths."""
    session = PeerSession(SETTINGS, (ENI_0, ENI_1))
    for path in session.paths.values():
        path.sending(challenge(1), at(1_000))
    return session


def echoing(number: int, held_us: int = 0, sequence: int = 1) -> HeartbeatFrame:
    return frame(sequence, b"peer's..", Echo(challenge(number), held_us))


def why_not(
    session: PeerSession, counter: int, heard: HeartbeatFrame, now: Moment, life: int = LIFE
) -> Reason:
    with pytest.raises(BadDatagram) as caught:
        session.hear(ENI_0, life, counter, heard, now)
    return caught.value.reason


def test_an_echo_of_a_recent_heartbeat_counts_and_tells_when_that_was_sent() -> None:
    session = peer()
    assert session.hear(ENI_0, LIFE, 1, echoing(1), at(1_010)) == Heard(LIFE, Instant(1_000))
    assert session.paths[ENI_0].is_up(Instant(3_009))
    assert not session.paths[ENI_0].is_up(Instant(3_010))
    assert not session.paths[ENI_1].is_up(Instant(1_010))
    assert session.routes(Instant(1_010)) == [ENI_0]


def test_the_newest_of_several_echoes_counts() -> None:
    session = peer()
    session.paths[ENI_0].sending(challenge(2), at(1_250))
    heard = frame(1, b"peer's..", Echo(challenge(1), 0), Echo(challenge(9), 0), Echo(challenge(2), 0))
    assert session.hear(ENI_0, LIFE, 1, heard, at(1_260)).answers == 1_250


def test_what_echoes_nothing_or_something_old_or_of_another_path_teaches_its_challenge_only() -> None:
    session = peer()
    session.paths[ENI_1].sending(challenge(2), at(1_100))
    assert why_not(session, 1, frame(1, b"learnt-1"), at(1_200)) is Reason.UNANSWERED
    assert why_not(session, 2, echoing(2), at(1_300)) is Reason.UNANSWERED
    assert why_not(session, 3, echoing(1), at(3_000)) is Reason.UNANSWERED  # sent 2 s ago
    assert session.incarnation is None
    _, echoes = session.paths[ENI_0].sending(challenge(3), at(3_050))
    assert echoes == (Echo(b"peer's..", 50_000),)


def test_a_datagram_counts_once_and_not_after_a_newer_one() -> None:
    session = peer()
    session.hear(ENI_0, LIFE, 7, echoing(1), at(1_010))
    assert why_not(session, 7, echoing(1), at(1_011)) is Reason.REPLAY
    assert why_not(session, 6, echoing(1), at(1_012)) is Reason.REPLAY
    session.hear(ENI_1, LIFE, 6, echoing(1), at(1_013))  # counters are compared within a path
    session.hear(ENI_0, LIFE, 8, echoing(1), at(1_014))


def test_round_trips_leave_out_what_the_peer_held_back() -> None:
    session = peer()
    session.hear(ENI_0, LIFE, 1, echoing(1, held_us=200_000), at(1_203.5))
    assert session.paths[ENI_0].rtt_ms == 3.5


def test_a_restarted_peer_is_believed_at_once_and_its_old_life_no_more() -> None:
    session = peer()
    session.hear(ENI_0, LIFE, 100, echoing(1), at(1_010))
    session.paths[ENI_0].sending(challenge(2), at(1_250))
    session.paths[ENI_0].sending(challenge(3), at(1_500))
    assert session.hear(ENI_0, 3, 1, echoing(3), at(1_510)).incarnation == 3
    assert why_not(session, 101, echoing(2), at(1_520)) is Reason.OLD_LIFE  # late on its way
    assert session.incarnation == 3


def test_an_old_life_mistaken_for_a_new_one_loses_to_the_next_heartbeat() -> None:
    session = peer()
    session.hear(ENI_0, LIFE, 1, echoing(1), at(1_010))
    session.paths[ENI_0].sending(challenge(2), at(1_250))
    session.hear(ENI_0, 3, 1, echoing(2), at(1_260))
    session.paths[ENI_0].sending(challenge(3), at(1_500))
    assert session.hear(ENI_0, LIFE, 2, echoing(3), at(1_510)).incarnation == LIFE


def test_nothing_of_a_life_that_said_goodbye_counts() -> None:
    session = peer()
    session.hear(ENI_0, LIFE, 1, echoing(1), at(1_010))
    session.leave()
    assert session.routes(Instant(1_010)) == []
    assert why_not(session, 2, echoing(1), at(1_020)) is Reason.OLD_LIFE
    session.paths[ENI_0].sending(challenge(2), at(1_250))
    assert session.hear(ENI_0, 3, 1, echoing(2), at(1_260)).incarnation == 3


def test_recordings_of_old_lives_do_not_push_the_present_one_out_of_the_echoes() -> None:
    session = peer()
    session.hear(ENI_0, LIFE, 1, echoing(1), at(1_010))
    line = session.paths[ENI_0]
    for life in range(100, 150):
        why_not(session, 1, frame(1, challenge(life)), at(1_020 + life), life)
    _, echoes = line.sending(challenge(3), at(1_252), session.incarnation)
    assert len(echoes) == MAX_ECHOES
    assert echoes[0].challenge == b"peer's.."
    assert len(line._lives) <= 2 * MAX_ECHOES


def test_what_is_kept_of_my_own_challenges_is_bounded() -> None:
    line = PathSession(SETTINGS)
    for number in range(10_000):
        line.sending(challenge(number), at(1_000))
    assert len(line._sent) <= 256


def test_loss_is_of_the_last_hundred_and_silence_counts() -> None:
    line = PathSession(SETTINGS)
    assert line.loss_percent(Instant(0)) is None
    for sequence in range(1, 201):
        if sequence <= 100 or sequence % 4:
            line.count(sequence, at(0), 0, at(sequence * 250))
    assert line.loss_percent(Instant(199 * 250)) == 24
    line.count(200, at(0), 0, at(200 * 250))
    assert line.loss_percent(Instant(200 * 250)) == 24
    assert line.loss_percent(Instant(201 * 250)) == 24  # the next one may be on its way
    assert line.loss_percent(Instant(251 * 250)) == pytest.approx(24 - 12 + 50)
    assert line.loss_percent(Instant(1_000 * 250)) == 100
    line.count(1_000, at(0), 0, at(1_000 * 250))
    assert line.loss_percent(Instant(1_000 * 250)) == 99


def test_a_prompt_answer_is_given_once_an_interval() -> None:
    line = PathSession(SETTINGS)
    assert [line.may_prompt(Instant(ms)) for ms in (0, 1, 249, 250, 251)] == [True, False, False, True, False]
