"""What is inside a seal: msgpack, strictly typed. Pure.

Reports decode straight into the core's dataclasses. A message is one of several, so it travels as
(kind, fields), and a command inside it likewise. Unknown fields are ignored and missing ones with a
default get it, so a newer agent may add fields; anything else wrong is `BadDatagram(BODY)`.
"""

from __future__ import annotations

from typing import Annotated, TypeVar, assert_never

import msgspec

from agent.comm.keys import KEY_ID_BYTES, MAX_KEYS
from agent.comm.wire import BadDatagram, Reason
from agent.core.ids import RequestId
from agent.core.messages import (
    AskKit,
    BringInService,
    Command,
    Confirm,
    Forward,
    Message,
    Recover,
    Reply,
    Report,
    TakeOutOfService,
    TrustReplica,
    VoteReply,
    VoteRequest,
)

CHALLENGE_BYTES = 8
MAX_ECHOES = 4  # lives of one peer that are answered at a time
MAX_REPORT_BYTES = 1_000  # encoded; a longer one doesn't ride on heartbeats
NO_REPORT = msgspec.Raw(b"\xc0")  # nil in the place of one: none yet, or too long to ride on a heartbeat
_Challenge = Annotated[bytes, msgspec.Meta(min_length=CHALLENGE_BYTES, max_length=CHALLENGE_BYTES)]
_KeyId = Annotated[bytes, msgspec.Meta(min_length=KEY_ID_BYTES, max_length=KEY_ID_BYTES)]
_T = TypeVar("_T")
MAX_LABEL = 40  # characters
_Label = Annotated[str, msgspec.Meta(max_length=MAX_LABEL)]


class Echo(msgspec.Struct, frozen=True, array_like=True):
    """A challenge of the receiver's, said back, and how long it was held in microseconds."""

    challenge: _Challenge
    held_us: Annotated[int, msgspec.Meta(ge=0)]


class Known(msgspec.Struct, frozen=True, array_like=True):
    """The newest report of the receiver's that the sender has."""

    incarnation: int
    revision: int


class HeartbeatFrame(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One heartbeat, for one peer on one comm path."""

    sequence: Annotated[int, msgspec.Meta(ge=0)]  # counts the heartbeats to this peer on this path
    challenge: _Challenge  # fresh and random each time
    echoes: Annotated[tuple[Echo, ...], msgspec.Meta(max_length=MAX_ECHOES)]
    leaving: bool  # goodbye
    version: _Label  # of the software
    config_digest: _Label
    known: Known | None
    revision: int | None  # of the sender's report; None: it has none yet
    report: msgspec.Raw = NO_REPORT
    keys: Annotated[tuple[_KeyId, ...], msgspec.Meta(max_length=MAX_KEYS)] = ()  # held; the first seals


class _Tagged(msgspec.Struct, frozen=True, array_like=True):
    """One of several: which, and its fields."""

    kind: str
    fields: msgspec.Raw


class _Forward(msgspec.Struct, frozen=True, array_like=True):
    request: RequestId
    command: _Tagged


class _Letter(msgspec.Struct, frozen=True, array_like=True):
    id: Annotated[int, msgspec.Meta(ge=0)]
    content: _Tagged


_COMMANDS: dict[str, type[Command]] = {
    "bring-in-service": BringInService,
    "take-out-of-service": TakeOutOfService,
    "recover": Recover,
    "confirm": Confirm,
    "trust-replica": TrustReplica,
    "ask-kit": AskKit,
}
_COMMAND_KINDS = {its_type: kind for kind, its_type in _COMMANDS.items()}
_encode = msgspec.msgpack.Encoder().encode


def encode_heartbeat(frame: HeartbeatFrame) -> bytes:
    """The body of one heartbeat datagram."""
    return _encode(frame)


def decode_heartbeat(body: bytes) -> HeartbeatFrame:
    """The other way round; the report inside stays encoded, because most times it isn't news."""
    return _decode(body, HeartbeatFrame)


def encode_report(report: Report) -> msgspec.Raw:
    """A report, ready to ride on heartbeats if it is at most MAX_REPORT_BYTES long."""
    return msgspec.Raw(_encode(report))


def decode_report(frame: HeartbeatFrame) -> Report | None:
    """The report that rides on a heartbeat, if one does."""
    if frame.report == NO_REPORT:
        return None
    report = _decode(frame.report, Report)
    if report.revision != frame.revision:
        raise BadDatagram(Reason.BODY)
    return report


def encode_letter(letter_id: int, content: Report | Message) -> bytes:
    """One report or message for TCP. Said again, it has the same id; the ids of a life only go up."""
    match content:
        case Report():
            tagged = _Tagged("report", msgspec.Raw(_encode(content)))
        case Reply():
            tagged = _Tagged("reply", msgspec.Raw(_encode(content)))
        case VoteRequest():
            tagged = _Tagged("vote-request", msgspec.Raw(_encode(content)))
        case VoteReply():
            tagged = _Tagged("vote-reply", msgspec.Raw(_encode(content)))
        case Forward(request=request, command=command):
            inner = _Tagged(_COMMAND_KINDS[type(command)], msgspec.Raw(_encode(command)))
            tagged = _Tagged("forward", msgspec.Raw(_encode(_Forward(request, inner))))
        case _:
            assert_never(content)
    return _encode(_Letter(letter_id, tagged))


def decode_letter(body: bytes) -> tuple[int, Report | Message]:
    """The other way round; BadDatagram for a kind or a field that this agent doesn't know."""
    letter = _decode(body, _Letter)
    fields = letter.content.fields
    match letter.content.kind:
        case "report":
            return letter.id, _decode(fields, Report)
        case "reply":
            return letter.id, _decode(fields, Reply)
        case "vote-request":
            return letter.id, _decode(fields, VoteRequest)
        case "vote-reply":
            return letter.id, _decode(fields, VoteReply)
        case "forward":
            forward = _decode(fields, _Forward)
            its_type = _COMMANDS.get(forward.command.kind)
            if its_type is None:
                raise BadDatagram(Reason.BODY)
            return letter.id, Forward(
                request=forward.request, command=_decode(forward.command.fields, its_type)
            )
        case _:
            raise BadDatagram(Reason.BODY)


def _decode(body: bytes | msgspec.Raw, its_type: type[_T]) -> _T:
    try:
        return msgspec.msgpack.decode(body, type=its_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadDatagram(Reason.BODY) from None
