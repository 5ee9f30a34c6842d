"""Commands of operators: carried out here, or handed to the node that can.

Keeps: a command is answered once, by the node that got it, within `FORWARD_LIMIT_MS`.
"""

from __future__ import annotations

from agent.core.effects import Answer, Effect, Kind, Send, Severity
from agent.core.ids import Instant, NodeId, RequestId, later
from agent.core.messages import (
    BringInService,
    Command,
    Confirm,
    Forward,
    Recover,
    Reply,
    TakeOutOfService,
    TrustReplica,
)
from agent.core.mind import Mind, notice
from agent.core.state import ForwardedCommand
from agent.core.verbs import Done, HandOn, carry_out

FORWARD_LIMIT_MS = 5_000
_VERBS: dict[type[Command], str] = {
    BringInService: "in-service",
    TakeOutOfService: "out-of-service",
    Recover: "recover",
    Confirm: "confirm",
    TrustReplica: "mirror",
}


def given(mind: Mind, request: RequestId, command: Command, at: Instant) -> list[Effect]:
    """A command came in here from an operator."""
    match carry_out(mind, command, at):
        case Done(accepted, text, effects):
            return [*effects, _told(command, text, at), Answer(request, accepted, text)]
        case HandOn(to):
            until = later(at, FORWARD_LIMIT_MS)
            mind.state.forwarded[request] = ForwardedCommand(to=to, until=until)
            return [Send(to, Forward(request=request, command=command))]


def forwarded(mind: Mind, sender: NodeId, message: Forward, at: Instant) -> list[Effect]:
    """A peer handed a command on to this node; it isn't handed on again."""
    match carry_out(mind, message.command, at):
        case Done(accepted, text, effects):
            reply = Reply(request=message.request, accepted=accepted, text=text)
            return [*effects, _told(message.command, text, at), Send(sender, reply)]
        case HandOn(to):
            text = f"{mind.state.me} thinks that {to} must do it; ask again in a moment"
            return [Send(sender, Reply(request=message.request, accepted=False, text=text))]


def replied(mind: Mind, message: Reply) -> list[Effect]:
    """A peer answered; a second answer, or a late one, is nobody's any more."""
    if mind.state.forwarded.pop(message.request, None) is None:
        return []
    return [Answer(message.request, message.accepted, message.text)]


def expire(mind: Mind, at: Instant) -> list[Effect]:
    """Answer for peers that didn't."""
    late = [(request, each.to) for request, each in mind.state.forwarded.items() if at >= each.until]
    for request, _ in late:
        del mind.state.forwarded[request]
    return [
        Answer(request, accepted=False, text=f"{to} didn't answer; see `kage status`, then ask again")
        for request, to in late
    ]


def _told(command: Command, text: str, at: Instant) -> Effect:
    return notice(at, Kind.COMMAND, Severity.INFO, f"{_VERBS[type(command)]}: {text}", command.hierarchy)
