"""Commands of operators: carried out here, or handed to the node that can.

Keeps: a command is answered once, by the node that got it, within `FORWARD_LIMIT_MS`.
"""

from __future__ import annotations

from agent.core.effects import Answer, ControlKit, Effect, Kind, Send, Severity
from agent.core.events import KitAnswered
from agent.core.ids import Instant, NodeId, RequestId, later
from agent.core.messages import (
    AskKit,
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
from agent.core.state import AskedKit, ForwardedCommand
from agent.core.verbs import Done, HandOn, LetKitAnswer, carry_out

FORWARD_LIMIT_MS = 5_000
_VERBS: dict[type[Command], str] = {
    BringInService: "in-service",
    TakeOutOfService: "out-of-service",
    Recover: "recover",
    Confirm: "confirm",
    TrustReplica: "mirror",
    AskKit: "kit",
}
DETAILS = "details"  # what every kit can be asked: nothing is done, so nothing is told


def given(mind: Mind, request: RequestId, command: Command, at: Instant) -> list[Effect]:
    """A command came in here from an operator."""
    match carry_out(mind, command, at):
        case Done(accepted, text, effects):
            return [*effects, _told(command, text, at), Answer(request, accepted, text)]
        case LetKitAnswer(asked):
            return [_let_answer(mind, request, asked, mind.state.me)]
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
        case LetKitAnswer(asked):
            return [_let_answer(mind, message.request, asked, sender)]
        case HandOn(to):
            text = f"{mind.state.me} thinks that {to} must do it; ask again in a moment"
            return [Send(sender, Reply(request=message.request, accepted=False, text=text))]


def kit_answered(mind: Mind, event: KitAnswered) -> list[Effect]:
    """A kit here answered an operator of this node, or of another."""
    asked = mind.state.asked_kits.pop(event.request)
    command, accepted, text = asked.command, event.accepted, event.text
    told = (
        [] if command.verb == DETAILS else [_told(command, f"{command.verb} {command.tag}: {text}", event.at)]
    )
    if asked.by == mind.state.me:
        return [*told, Answer(event.request, accepted, text)]
    return [*told, Send(asked.by, Reply(request=event.request, accepted=accepted, text=text))]


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


def _let_answer(mind: Mind, request: RequestId, command: AskKit, by: NodeId) -> Effect:
    mind.state.asked_kits[request] = AskedKit(by, command)
    return ControlKit(request, command.tag, command.verb, command.arguments)


def _told(command: Command, text: str, at: Instant) -> Effect:
    return notice(at, Kind.COMMAND, Severity.INFO, f"{_VERBS[type(command)]}: {text}", command.hierarchy)
