"""`kage replay`: walk an incident again, decision by decision, from a journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.core.effects import CancelAction, Effect, FenceMyself, Notify, Send, StartAction
from agent.core.events import Event, HeartbeatHeard, Tick
from agent.core.node import Node
from agent.runtime.codec import BadRecord, checksum, decode_entry, decode_header


class ReplayError(Exception):
    """The file is no journal, or can't be replayed; says which line."""


def replay(path: Path) -> Iterator[str]:
    """Each decision as a line of text, with what it answered; raises ReplayError.

    The core is run again on the recorded events. Where it decides otherwise than the agent did (the
    file comes from another version), the line says so.
    """
    try:
        with path.open("rb") as file:
            lines = enumerate(file, 1)
            header = decode_header(next(lines, (1, b""))[1])
            node = Node(header.state)
            began = header.state.stepped_at
            yield f"node {header.state.me}, agent {header.kagemusha}, from {began} ms after boot"
            for number, line in lines:
                if not line.endswith(b"\n"):
                    yield f"(line {number} is cut off: the agent ended while writing it)"
                    return
                yield from _step(node, number, line)
    except (BadRecord, UnicodeDecodeError) as error:
        raise ReplayError(f"{path}: not a journal of an agent, or a damaged one: {error}") from error
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror}") from error


def _step(node: Node, number: int, line: bytes) -> Iterator[str]:
    try:
        event, decided = decode_entry(line)
    except BadRecord as error:
        raise BadRecord(f"line {number}: {error}") from error
    effects = node.step(event)
    told = [text for effect in effects if (text := _text(effect))]
    if checksum(effects) != decided:
        told.append("!! this version decides otherwise than the agent did")
    if told and not _is_routine(event):
        yield f"{event.at:>12}  <- {_brief(event)}"
    for text in told:
        yield f"{event.at:>12}     {text}"


def _is_routine(event: Event) -> bool:
    return isinstance(event, (HeartbeatHeard, Tick))


def _brief(event: Event) -> str:
    text = repr(event)
    return text if len(text) <= 200 else text[:197] + "..."


def _text(effect: Effect) -> str:
    match effect:
        case Notify(notice):
            about = " ".join(str(each) for each in (notice.hierarchy, notice.tag, notice.peer) if each)
            return f"{notice.severity.value}: {notice.kind.value} {about}: {notice.text}"
        case StartAction(id, _, tag, action):
            return f"start {action.value} of {tag} (action {id})"
        case CancelAction(id):
            return f"cancel action {id}"
        case Send(to, message):
            return f"send to {to}: {message}"
        case FenceMyself(reason):
            return f"FENCE MYSELF: {reason}"
        case _:
            return ""
