"""Bytes <-> authenticated frames. Pure: no socket, no clock.

A frame is a header of 50 bytes, then its body sealed with ChaCha20-Poly1305 (16 bytes longer), at most
1400 bytes in all. The header travels in the clear and is authenticated with the body:

    magic 4 | version 1 | kind 1 | key id 4 | sender 8 | receiver 8 | path 8 | incarnation 8 | counter 8

Sender, receiver and path are short hashes of their names, so every field has a fixed place. The nonce
is the counter, and the key is derived per purpose, sender and incarnation, so no nonce is used twice:
an incarnation is 63 random bits, its counter only goes up.

Invariants: `check` costs no cryptography and rejects everything that isn't addressed to this node on
this path by a peer; `unseal` remembers a derived key only after a frame proved it right.
"""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum, IntEnum
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.comm.keys import Keyring
from agent.core.ids import NodeId, PathId

MAGIC = b"KAGE"
VERSION = 1
HEADER = struct.Struct(">4sBB4s8s8s8sQQ")
TAG_BYTES = 16
MAX_DATAGRAM_BYTES = 1_400  # below the smallest MTU met in practice, tunnels included
MAX_BODY_BYTES = MAX_DATAGRAM_BYTES - HEADER.size - TAG_BYTES
INCARNATION_BITS = 63
_CIPHERS_KEPT_PER_PEER = 4  # a peer's present life, and a few that are over


class Kind(IntEnum):
    """What a frame is."""

    HEARTBEAT = 1  # a UDP datagram
    HELLO = 2  # a TCP connection's first words (agent.comm.channel)


class Reason(Enum):
    """Why something heard was dropped: the whole list, because each is a counter."""

    LENGTH = "length"
    MAGIC = "magic"  # not ours at all, or another version of the protocol
    KIND = "kind"
    REFLECTED = "reflected"  # this node's own words
    SENDER = "sender"  # nobody we know
    MISDIRECTED = "misdirected"  # for another node or another comm path
    KEY = "key"  # sealed with a cluster key that isn't in the key file
    REPLAY = "replay"  # its counter isn't newer than the last one heard
    SEAL = "seal"  # forged or damaged
    BODY = "body"  # authentic, and yet not what we can read
    UNANSWERED = "unanswered"  # echoes nothing recent of mine; a peer's first heartbeats do so
    OLD_LIFE = "old-life"  # from before the peer's restart


class BadDatagram(Exception):
    """Something heard that doesn't count: to be counted by its reason and dropped."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Header(NamedTuple):
    """A checked header. Nothing in it is proven before `unseal`."""

    key_id: bytes
    sender: NodeId
    incarnation: int
    counter: int


def node_hash(node: NodeId) -> bytes:
    """How a header names a node: 8 bytes."""
    return hashlib.blake2b(node.encode(), digest_size=8, person=b"kage node").digest()


def path_hash(path: PathId) -> bytes:
    """How a header names a comm path: 8 bytes."""
    return hashlib.blake2b(path.encode(), digest_size=8, person=b"kage path").digest()


def nonce(counter: int) -> bytes:
    """A ChaCha20-Poly1305 nonce (12 bytes) that no other counter has."""
    return counter.to_bytes(12, "big")


class Sealer:
    """Seals what this node says in this life.

    One per life: its counter must never start again, not even with another key, since peers compare it
    within the life and a key may come back.
    """

    def __init__(self, keyring: Keyring, me: NodeId, incarnation: int) -> None:
        self._keyring, self._me, self._incarnation = keyring, me, incarnation
        self._sender, self._counter = node_hash(me), 0
        self._use_newest()

    def seal(self, receiver: bytes, path: bytes, body: bytes) -> bytes:
        """One heartbeat datagram for the node and path of these hashes; the body must fit."""
        assert len(body) <= MAX_BODY_BYTES, len(body)
        if self._key_id != self._keyring.newest:
            self._use_newest()
        self._counter += 1
        header = HEADER.pack(
            MAGIC, VERSION, Kind.HEARTBEAT, self._key_id, self._sender, receiver, path,
            self._incarnation, self._counter,
        )  # fmt: skip
        return header + self._cipher.encrypt(nonce(self._counter), body, header)

    def _use_newest(self) -> None:
        self._key_id = self._keyring.newest
        self._cipher = _heartbeat_cipher(self._keyring, self._key_id, self._me, self._incarnation)


class Opener:
    """Opens what peers say to this node."""

    def __init__(self, keyring: Keyring, me: NodeId, peers: Iterable[NodeId]) -> None:
        self._keyring, self._me = keyring, node_hash(me)
        self._peers = {node_hash(peer): peer for peer in peers}
        self._ciphers: OrderedDict[tuple[bytes, NodeId, int], ChaCha20Poly1305] = OrderedDict()

    def check(self, frame: memoryview, kind: Kind, path: bytes) -> Header:
        """Read the header of a frame heard on the path of that hash; BadDatagram if it isn't for us."""
        if not HEADER.size + TAG_BYTES <= len(frame) <= MAX_DATAGRAM_BYTES:
            raise BadDatagram(Reason.LENGTH)
        magic, version, its_kind, key_id, sender, receiver, its_path, incarnation, counter = (
            HEADER.unpack_from(frame)
        )
        if magic != MAGIC or version != VERSION:
            raise BadDatagram(Reason.MAGIC)
        if its_kind != kind:
            raise BadDatagram(Reason.KIND)
        peer = self._peers.get(sender)
        if peer is None:
            raise BadDatagram(Reason.REFLECTED if sender == self._me else Reason.SENDER)
        if receiver != self._me or its_path != path:
            raise BadDatagram(Reason.MISDIRECTED)
        if key_id not in self._keyring:
            raise BadDatagram(Reason.KEY)
        return Header(key_id, peer, incarnation, counter)

    def unseal(self, header: Header, frame: memoryview) -> bytes:
        """Authenticate a checked frame and return its body; BadDatagram if it is forged or damaged."""
        life = (header.key_id, header.sender, header.incarnation)
        cipher = self._ciphers.get(life) or _heartbeat_cipher(self._keyring, *life)
        try:
            body = cipher.decrypt(nonce(header.counter), frame[HEADER.size :], frame[: HEADER.size])
        except InvalidTag:
            raise BadDatagram(Reason.SEAL) from None
        self._ciphers[life] = cipher
        self._ciphers.move_to_end(life)
        if len(self._ciphers) > _CIPHERS_KEPT_PER_PEER * len(self._peers):
            self._ciphers.popitem(last=False)
        return body

    def open(self, datagram: bytes, path: PathId) -> tuple[Header, bytes]:
        """`check` and `unseal` of one heartbeat datagram."""
        frame = memoryview(datagram)
        header = self.check(frame, Kind.HEARTBEAT, path_hash(path))
        return header, self.unseal(header, frame)


def _heartbeat_cipher(keyring: Keyring, key_id: bytes, sender: NodeId, incarnation: int) -> ChaCha20Poly1305:
    return keyring.cipher(key_id, b"heartbeat", sender.encode(), incarnation.to_bytes(8, "big"))
