"""What becomes of each command, on the node that carries it out.

Keeps: a refusal says why and what to do; nothing is begun that couldn't be finished as far as is known now.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.core import gates
from agent.core.effects import Effect, Kind, Send, Severity
from agent.core.ids import HierarchyId, Instant, NodeId, RequestId, later
from agent.core.messages import (
    AskKit,
    BringInService,
    Command,
    Confirm,
    Forward,
    HierarchyReport,
    Recover,
    Register,
    TakeOutOfService,
    TrustReplica,
)
from agent.core.mind import Mind, notice
from agent.core.reconcile import begin_move, forget_failures, try_again
from agent.core.state import Goal, Trusting
from agent.core.states import Fencing, PeerStanding, Quorum, Reason, ResourceState, Trust

WANTED_FOR_MS = 60_000  # a wish that can't be carried out at once is tried for so long


@dataclass(frozen=True)
class Done:
    """What became of a command: said to whoever asked, with the effects it has here."""

    accepted: bool
    text: str
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True)
class HandOn:
    """Another node must do it."""

    to: NodeId


@dataclass(frozen=True)
class LetKitAnswer:
    """A kit here does it, and answers."""

    command: AskKit


def carry_out(mind: Mind, command: Command, at: Instant) -> Done | HandOn | LetKitAnswer:
    """Do it here, or say who must."""
    if command.hierarchy not in mind.machines:
        return Done(accepted=False, text=f"there is no hierarchy called {command.hierarchy}")
    match command:
        case BringInService():
            return _bring_in_service(mind, command, at)
        case TakeOutOfService(hierarchy=name):
            return _take_out(mind, name, at)
        case Recover():
            return _recover(mind, command, at)
        case Confirm():
            return _confirm(mind, command, at)
        case TrustReplica():
            return _trust(mind, command, at)
        case AskKit():
            return _ask_kit(mind, command)


def _bring_in_service(mind: Mind, command: BringInService, at: Instant) -> Done | HandOn:
    name, node = command.hierarchy, command.node
    me, spec = mind.state.me, mind.machines[name].spec
    register = mind.authority.register(name)
    owner = register.owner
    if command.owner_is_off is not None:
        if why := _contradiction(mind, register, command.owner_is_off):
            return _refuse(why)
        life = mind.machines[name].life
        life.vouched_off = (*life.vouched_off, command.owner_is_off)
    if node is not None and node not in spec.nodes:
        return _refuse(f"{node} isn't one of its nodes: {', '.join(spec.nodes)}")
    if owner == me and node in {None, me} and mind.machines[name].life.leaving is not None:
        return _come_back(mind, name, at)
    if owner is not None and (owner == me or _alive(mind, owner)):
        return _with_its_owner(mind, command, owner, at)
    if why := _may_still_run(mind, name):
        return _refuse(why)
    target = node or _first_fit(mind, name, at)
    if target is None:
        return _refuse("no node is fit to run it; see `kage status` for why")
    if target != me:
        return HandOn(target) if _alive(mind, target) else _refuse(f"{target} is {_standing(mind, target)}")
    return _take_here(mind, name, at)


def _with_its_owner(mind: Mind, command: BringInService, owner: NodeId, at: Instant) -> Done | HandOn:
    """The owner runs it, or is about to: it alone can move it."""
    name, node, me = command.hierarchy, command.node, mind.state.me
    if owner != me and command.owner_is_off in mind.authority.register(name).suspects:
        return HandOn(owner)  # it waits for this word
    if node in {None, owner}:
        return Done(accepted=True, text=f"{name} is with {owner} already")
    return _move_to(mind, name, node, at) if owner == me and node is not None else HandOn(owner)


def _contradiction(mind: Mind, register: Register, said_off: NodeId) -> str:
    """What speaks against the operator's word that a machine, which may run it, is off."""
    nobodys = register.owner is None and mind.machines[register.hierarchy].life.waits_for is Reason.FENCING
    if said_off not in {register.owner, *register.suspects} and not nobodys:
        return f"{said_off} doesn't own it; {register.owner or 'nobody'} does"
    if said_off == mind.state.me or _alive(mind, said_off):
        return f"{said_off} isn't off: its agent answers"
    return ""


def _may_still_run(mind: Mind, name: HierarchyId) -> str:
    """What an owner that doesn't answer may do; empty if it is lost, or off by the operator's word."""
    if (owner := gates.may_still_run(mind, name)) is None:
        return ""
    standing = "it was stopped" if mind.authority.register(name).unattended else _standing(mind, owner)
    return (
        f"{owner} owns it and may still run it, but its agent doesn't answer ({standing}); "
        f"start the agent there. If that machine is certainly off: "
        f"kage in-service {name} --owner-is-off {owner}"
    )


def _take_here(mind: Mind, name: HierarchyId, at: Instant) -> Done:
    effects = forget_failures(mind, name, at, "an operator asked for it here")
    if why_not := mind.why_not_fit(name, at):
        return _refuse(f"{mind.state.me} can't: {why_not}")
    text, owner = f"taking it: {Reason.ASKED.value}", mind.authority.register(name).owner
    effects.append(
        notice(at, Kind.OWNERSHIP_SOUGHT, Severity.INFO, text, name, peer=owner, reason=Reason.ASKED)
    )
    cluster = mind.state.cluster
    must_fence = cluster.quorum is Quorum.NONE and cluster.fencing is Fencing.REQUIRED
    if cluster.quorum is Quorum.MAJORITY or must_fence:  # it may have to wait, or lose a campaign
        mind.machines[name].life.wanted_until = later(at, WANTED_FOR_MS)
    if not must_fence:
        effects += mind.authority.seek(name, at, mind.trust(name, at))
    return Done(accepted=True, text=f"bringing {name} in service on {mind.state.me}", effects=tuple(effects))


def _come_back(mind: Mind, name: HierarchyId, at: Instant) -> Done:
    machine, me = mind.machines[name], mind.state.me
    if machine.life.stuck:
        return _refuse(f"{me} can't: a resource can't be removed here, and the node fences itself")
    machine.life.leaving = None
    effects = forget_failures(mind, name, at, "an operator asked for it here")
    return Done(accepted=True, text=f"bringing {name} in service on {me} again", effects=tuple(effects))


def _move_to(mind: Mind, name: HierarchyId, node: NodeId, at: Instant) -> Done:
    if not _alive(mind, node):
        return _refuse(f"{node} is {_standing(mind, node)}")
    report = mind.reported(node, name)
    if report is None or not report.eligible:
        why = report.why_not if report else "it hasn't reported yet"
        return _refuse(
            f"{node} can't take it: {why}; after mending that: kage recover {_failed_tag(mind, name, report)}"
        )
    effects = begin_move(mind, name, at, "an operator asked", to=node)
    return Done(accepted=True, text=f"moving {name} from {mind.state.me} to {node}", effects=tuple(effects))


def _take_out(mind: Mind, name: HierarchyId, at: Instant) -> Done | HandOn:
    register = mind.authority.register(name)
    if register.owner == mind.state.me and mind.machines[name].life.stuck:
        return _refuse(f"a resource can't be removed on {mind.state.me}, and the node fences itself")
    if register.owner == mind.state.me:
        effects = begin_move(mind, name, at, "an operator asked", to=None, held=True)
        text = f"taking {name} out of service on {mind.state.me}"
        return Done(accepted=True, text=text, effects=tuple(effects))
    if register.owner is None:
        if register.held:
            return Done(accepted=True, text=f"{name} is out of service already")
        mind.machines[name].life.wanted_until = None
        effects = mind.authority.release(name, at, successor=None, held=True)
        return Done(accepted=True, text=f"{name} is held out of service", effects=tuple(effects))
    if _alive(mind, register.owner):
        return HandOn(register.owner)
    return _refuse(f"{register.owner} owns it and is {_standing(mind, register.owner)}")


def _recover(mind: Mind, command: Recover, at: Instant) -> Done | HandOn:
    name, tag = command.hierarchy, command.tag
    machine, owner = mind.machines[name], mind.authority.register(name).owner
    if all(each.tag != tag for each in machine.spec.resources):
        return _refuse(f"{name} has no resource called {tag}")
    effects = forget_failures(mind, name, at, "an operator cleared them")
    others = [] if command.here_only else [peer for peer in mind.state.peers if _needs(mind, peer, name)]
    onwards = Forward(request=RequestId(""), command=replace(command, here_only=True))  # nobody awaits it
    effects += [Send(peer, onwards) for peer in others]
    text = f"failures of {name} are cleared" + (f" here and on {', '.join(others)}" if others else "")
    if owner == mind.state.me:
        failed = [
            each.tag for each, life in machine.each() if life.failed_why and machine.life.goal is Goal.UP
        ]
        try_again(machine)
        text = f"repairing {', '.join(failed)}" if failed else f"nothing has failed here; {text}"
    return Done(accepted=True, text=text, effects=tuple(effects))


def _confirm(mind: Mind, command: Confirm, at: Instant) -> Done | HandOn:
    name = command.hierarchy
    life = mind.machines[name].life
    if life.confirming is None:
        asker = next((peer for peer in mind.state.peers if _asks(mind, peer, name)), None)
        return _refuse(f"no node asks whether to take {name} over") if asker is None else HandOn(asker)
    lost, me = life.confirming.owner, mind.state.me
    effects = gates.confirmed(mind, name, at, take=command.take, by="an operator answered")
    text = f"{me} takes {name} over from {lost}" if command.take else f"{me} leaves {name} to {lost}"
    return Done(accepted=True, text=text, effects=tuple(effects))


def _trust(mind: Mind, command: TrustReplica, at: Instant) -> Done | HandOn:
    name, node, me = command.hierarchy, command.node, mind.state.me
    machine, register = mind.machines[name], mind.authority.register(name)
    if not machine.spec.replicated:
        return _refuse(f"{name} has no replicated resource")
    if node not in machine.spec.nodes:
        return _refuse(f"{node} isn't one of its nodes: {', '.join(machine.spec.nodes)}")
    if node != me:
        return HandOn(node) if _alive(mind, node) else _refuse(f"{node} is {_standing(mind, node)}")
    if why := _against_trust(mind, register, first=command.first):
        return _refuse(why)
    trust = Trust.FIRST if command.first else Trust.FORCED
    machine.life.trusting = Trusting(trust, later(at, WANTED_FOR_MS))
    done = _take_here(mind, name, at)
    if not done.accepted:
        machine.life.trusting = None
        return done
    lost = ", ".join(other for other in register.in_sync if other != me)
    text = f"{me}'s replica is the truth from now on" + (f"; what only {lost} has is lost" if lost else "")
    told = notice(at, Kind.REPLICA_TRUSTED, Severity.ALARM if lost else Severity.INFO, text, name)
    return Done(accepted=True, text=f"{text}; {done.text}", effects=(told, *done.effects))


def _against_trust(mind: Mind, register: Register, *, first: bool) -> str:
    """Why an operator's word on this node's copy isn't taken; empty if it is."""
    name, owner, in_sync = register.hierarchy, register.owner, register.in_sync
    if owner is not None and (owner == mind.state.me or _alive(mind, owner)):
        return f"{owner} runs it; first: kage out-of-service {name}"
    if why := _may_still_run(mind, name):
        return why
    if mind.state.me in in_sync:
        return f"{mind.state.me}'s replica holds every acknowledged write: kage in-service {name}"
    if first and in_sync:
        return f"the replica of {', '.join(in_sync)} counts already"
    return "" if first or in_sync else "no replica counts yet; begin with: kage mirror create"


def _ask_kit(mind: Mind, command: AskKit) -> Done | HandOn | LetKitAnswer:
    name, me = command.hierarchy, mind.state.me
    spec, owner = mind.machines[name].spec, mind.authority.register(name).owner
    if all(each.tag != command.tag for each in spec.resources):
        return _refuse(f"{name} has no resource called {command.tag}")
    node = command.node or owner
    if node is None:
        return _refuse(f"{name} is in service nowhere; name a node")
    if node not in spec.nodes:
        return _refuse(f"{node} isn't one of its nodes: {', '.join(spec.nodes)}")
    if node == me:
        return LetKitAnswer(command)
    return HandOn(node) if _alive(mind, node) else _refuse(f"{node} is {_standing(mind, node)}")


def _asks(mind: Mind, peer: NodeId, name: HierarchyId) -> bool:
    report = mind.reported(peer, name)
    return _alive(mind, peer) and report is not None and report.waits_for is Reason.CONFIRMING


def _refuse(text: str) -> Done:
    return Done(accepted=False, text=text)


def _alive(mind: Mind, node: NodeId) -> bool:
    return mind.standing_of(node) is PeerStanding.ALIVE


def _standing(mind: Mind, node: NodeId) -> str:
    standing = mind.standing_of(node)
    return standing.value if standing else "this node"


def _first_fit(mind: Mind, name: HierarchyId, at: Instant) -> NodeId | None:
    return next((each.node for each in mind.candidates(name, at) if each.fit and each.present), None)


def _needs(mind: Mind, peer: NodeId, name: HierarchyId) -> bool:
    """Has the peer something to forget or to repair?"""
    report = mind.reported(peer, name)
    if report is None or not _alive(mind, peer):
        return False
    return not report.eligible or any(each.state is ResourceState.OSF for each in report.resources)


def _failed_tag(mind: Mind, name: HierarchyId, report: HierarchyReport | None) -> str:
    failed = [each.tag for each in report.resources if each.state is ResourceState.OSF] if report else []
    return failed[0] if failed else mind.machines[name].spec.resources[-1].tag
