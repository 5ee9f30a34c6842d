"""`kage replay`: walk an incident again, decision by decision, from a journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.core.effects import CancelAction, Effect, FenceMyself, Notify, Send, StartAction
from agent.core.events import Event, HeartbeatHeard, Tick
from agent.core.node import Node
from agent.runtime.codec import BadRecord, Header, checksum, decode_entry, decode_header


class ReplayError(Exception):
    """The file is no journal, or can't be replayed; says which line."""


def replay(path: Path) -> Iterator[str]:
    """Each decision as a line of text, with what it answered; raises ReplayError.

    The core is run again on the recorded events. Where it decides otherwise than the agent did (the
    file comes from another version), the line says so.
    """
    number = 1
    try:
        with path.open("rb") as file:
            header = decode_header(file.readline())
            began, node = header.state.stepped_at, _node(header)
            yield f"node {header.state.me}, agent {header.kagemusha}, from {began} ms after boot"
            for number, line in enumerate(file, 2):
                if not line.endswith(b"\n"):
                    yield f"(line {number} is cut off: the agent ended while writing it)"
                    return
                yield from _step(node, line)
    except BadRecord as error:
        raise ReplayError(f"{path}: line {number}: not of an agent's journal, or damaged: {error}") from error
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror}") from error


def _node(header: Header) -> Node:
    try:
        return Node(header.state)
    except (LookupError, AssertionError) as error:
        raise BadRecord(f"no node can know this: {error!r}") from error


def _step(node: Node, line: bytes) -> Iterator[str]:
    event, decided = decode_entry(line)
    try:
        effects = node.step(event)
    except Exception as error:  # what was recorded can be stepped; what was damaged may break anything
        raise BadRecord(f"{type(event).__name__} can't have happened then: {error!r}") from error
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
