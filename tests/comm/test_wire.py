"""A datagram opens only whole, unchanged, with the cluster's key, at the node and path it was meant for."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.comm.codec import (
    MAX_ECHOES,
    MAX_REPORT_BYTES,
    Echo,
    HeartbeatFrame,
    Known,
    decode_heartbeat,
    decode_letter,
    decode_report,
    encode_heartbeat,
    encode_letter,
)
from agent.comm.keys import KEY_BYTES, Keyring
from agent.comm.wire import (
    HEADER,
    MAX_BODY_BYTES,
    MAX_DATAGRAM_BYTES,
    BadDatagram,
    Opener,
    Reason,
    Sealer,
    node_hash,
    path_hash,
)
from agent.core.ids import HierarchyId, NodeId, PathId
from agent.core.messages import Register, VoteReply, VoteRequest
from tests.comm.world import ENI_0, ENI_1, FORWARD, KEYRING, OTHER_KEYRING, A, B, C, report

LIFE, BODY = 77, b"what node A says"


def sealed(
    keyring: Keyring = KEYRING, sender: NodeId = A, receiver: NodeId = B, path: PathId = ENI_0
) -> bytes:
    return Sealer(keyring, sender, LIFE).seal(node_hash(receiver), path_hash(path), BODY)


def opener(keyring: Keyring = KEYRING) -> Opener:
    return Opener(keyring, B, [A, C])


def why_dropped(datagram: bytes, by: Opener | None = None, path: PathId = ENI_0) -> Reason:
    with pytest.raises(BadDatagram) as caught:
        (by or opener()).open(datagram, path)
    return caught.value.reason


def test_what_a_peer_seals_opens_with_who_said_it() -> None:
    header, body = opener().open(sealed(), ENI_0)
    assert (header.sender, header.incarnation, header.counter, body) == (A, LIFE, 1, BODY)


def test_the_body_is_not_readable_on_the_wire() -> None:
    assert BODY not in sealed()


def test_no_single_bit_can_change() -> None:
    genuine = sealed()
    for position in range(len(genuine)):
        for bit in range(8):
            forged = bytearray(genuine)
            forged[position] ^= 1 << bit
            why_dropped(bytes(forged))


def test_no_length_but_the_whole_opens() -> None:
    genuine = sealed()
    for length in range(len(genuine)):
        assert why_dropped(genuine[:length]) in (Reason.LENGTH, Reason.SEAL)
    assert why_dropped(genuine + b"\0") is Reason.SEAL
    assert why_dropped(genuine + bytes(MAX_DATAGRAM_BYTES)) is Reason.LENGTH


def test_another_clusters_words_do_not_open() -> None:
    assert why_dropped(sealed(OTHER_KEYRING)) is Reason.KEY


def test_a_guessed_key_id_does_not_help() -> None:
    forged = bytearray(sealed(OTHER_KEYRING))
    forged[6:10] = KEYRING.newest
    assert why_dropped(bytes(forged)) is Reason.SEAL


def test_while_keys_are_rotated_nodes_with_either_or_both_hear_each_other() -> None:
    old, new = b"\x01" * KEY_BYTES, b"\x02" * KEY_BYTES
    first, second, third = Keyring([old]), Keyring([old, new]), Keyring([new, old])
    for says, hears in ((first, second), (second, first), (second, third), (third, second)):
        assert opener(hears).open(sealed(says), ENI_0)[1] == BODY
    assert opener(Keyring([new])).open(sealed(third), ENI_0)[1] == BODY
    assert why_dropped(sealed(first), opener(Keyring([new]))) is Reason.KEY


def test_reflected_misdirected_and_unknown_are_told_apart() -> None:
    assert why_dropped(sealed(sender=B, receiver=A)) is Reason.REFLECTED
    assert why_dropped(sealed(receiver=C)) is Reason.MISDIRECTED
    assert why_dropped(sealed(), path=ENI_1) is Reason.MISDIRECTED
    assert why_dropped(sealed(sender=NodeId("db-99"))) is Reason.SENDER
    assert why_dropped(b"SSH-2.0-" + bytes(80)) is Reason.MAGIC


def test_no_nonce_is_used_twice() -> None:
    sealer = Sealer(KEYRING, A, LIFE)
    counters = [
        opener().open(sealer.seal(node_hash(B), path_hash(path), BODY), path)[0].counter
        for path in (ENI_0, ENI_1, ENI_0)
    ]
    assert counters == [1, 2, 3]
    assert (
        Sealer(KEYRING, A, LIFE + 1).seal(node_hash(B), path_hash(ENI_0), BODY)[HEADER.size :]
        != sealed()[HEADER.size :]
    )


def test_forged_lives_leave_nothing_behind() -> None:
    by = opener()
    for life in range(1_000):
        forged = bytearray(Sealer(KEYRING, A, life).seal(node_hash(B), path_hash(ENI_0), BODY))
        forged[-1] ^= 1
        assert why_dropped(bytes(forged), by) is Reason.SEAL
    assert not by._ciphers
    for life in range(1_000):  # authentic ones, such as a long recording's, are bounded
        by.open(Sealer(KEYRING, A, life).seal(node_hash(B), path_hash(ENI_0), BODY), ENI_0)
    assert len(by._ciphers) <= 8


@given(st.binary(max_size=MAX_DATAGRAM_BYTES + 100))
def test_arbitrary_bytes_are_only_ever_a_bad_datagram(datagram: bytes) -> None:
    why_dropped(datagram)


@given(tail=st.binary(max_size=200), at=st.integers(0, HEADER.size), keep=st.integers(0, 200))
def test_genuine_beginnings_with_arbitrary_ends_are_only_ever_a_bad_datagram(
    tail: bytes, at: int, keep: int
) -> None:
    genuine = sealed()
    datagram = genuine[:at] + tail + genuine[at + keep :]
    if datagram != genuine:
        why_dropped(datagram)


@given(st.binary(max_size=300))
def test_authentic_but_unreadable_bodies_are_only_ever_a_bad_datagram(body: bytes) -> None:
    for decode in (decode_heartbeat, decode_letter):
        with contextlib.suppress(BadDatagram):
            decode(body)


def test_deeply_nested_bodies_are_a_bad_datagram() -> None:
    for body in (b"\x91" * 1_000_000, b"\x92\x01\x92\xa1x" + b"\x91" * 1_000_000):
        with pytest.raises(BadDatagram):
            decode_letter(body)


def heartbeat(**fields: object) -> HeartbeatFrame:
    full: dict[str, object] = {
        "sequence": 2**63 - 1,
        "challenge": b"c" * 8,
        "echoes": tuple(Echo(b"e" * 8, 2**63 - 1) for _ in range(MAX_ECHOES)),
        "leaving": True,
        "version": "v" * 40,
        "config_digest": "d" * 40,
        "known": Known(2**63 - 1, 2**63 - 1),
        "revision": 2**63 - 1,
    }
    return HeartbeatFrame(**{**full, **fields})  # type: ignore[arg-type]


def test_the_largest_heartbeat_fits_a_datagram() -> None:
    body = encode_heartbeat(heartbeat(report=msgspec.Raw(b"\xc0" * MAX_REPORT_BYTES)))
    assert len(body) <= MAX_BODY_BYTES


def test_a_report_rides_on_a_heartbeat_and_must_be_the_one_it_names() -> None:
    encoded = msgspec.Raw(msgspec.msgpack.encode(report(5)))
    frame = decode_heartbeat(encode_heartbeat(heartbeat(revision=5, report=encoded)))
    assert decode_report(frame) == report(5)
    assert decode_report(decode_heartbeat(encode_heartbeat(heartbeat()))) is None
    with pytest.raises(BadDatagram):
        decode_report(heartbeat(revision=6, report=encoded))


@pytest.mark.parametrize(
    "wrong",
    [
        {"challenge": b"short"},
        {"sequence": -1},
        {"echoes": (Echo(b"e" * 8, 0),) * 5},
        {"version": "v" * 41},
        {"known": 7},
    ],
)
def test_a_heartbeat_out_of_bounds_is_unreadable(wrong: dict[str, object]) -> None:
    with pytest.raises(BadDatagram):
        decode_heartbeat(encode_heartbeat(heartbeat(**wrong)))


REGISTER = Register(hierarchy=HierarchyId("groupware"), term=3, revision=7, owner=A, in_sync=(A, B))
VOTE_REQUEST = VoteRequest(hierarchy=REGISTER.hierarchy, term=4, register=REGISTER)
VOTE_REPLY = VoteReply(hierarchy=REGISTER.hierarchy, term=4, granted=True, register=REGISTER)


@pytest.mark.parametrize("message", [VOTE_REQUEST, VOTE_REPLY])
def test_votes_travel_whole(message: VoteRequest | VoteReply) -> None:
    assert decode_letter(encode_letter(7, message)) == (7, message)


def test_a_newer_agents_extra_fields_are_no_obstacle_and_its_new_kinds_are_unreadable() -> None:
    letter = msgspec.msgpack.decode(encode_letter(3, report(1)))
    letter[1][1]["invented_later"] = 1
    assert decode_letter(msgspec.msgpack.encode(letter)) == (3, report(1))
    forward = msgspec.msgpack.decode(encode_letter(4, FORWARD))
    forward[1][1][1][0] = "dance"
    for body in (forward, [5, ["poem", {}]]):
        with pytest.raises(BadDatagram):
            decode_letter(msgspec.msgpack.encode(body))


def test_a_ring_that_becomes_another_seals_and_opens_with_its_keys_and_goes_on_counting() -> None:
    first, second = b"\x01" * KEY_BYTES, b"\x02" * KEY_BYTES
    old, both, new = Keyring([first]), Keyring([first, second]), Keyring([second])
    mine, theirs = Keyring([first]), Keyring([first])
    sealer, hears = Sealer(mine, A, LIFE), opener(theirs)

    def said() -> bytes:
        return sealer.seal(node_hash(B), path_hash(ENI_0), BODY)

    recorded = said()
    assert hears.open(recorded, ENI_0)[0].counter == 1
    theirs.become(both)
    mine.become(new)
    assert hears.open(said(), ENI_0)[0].counter == 2
    mine.become(old)  # a key that comes back must not meet its own nonces again
    assert hears.open(said(), ENI_0)[0].counter == 3
    theirs.become(new)
    assert why_dropped(recorded, hears) is Reason.KEY
