"""What this node does about each hierarchy, decided anew after every event from what it knows.

Keeps: nothing of a hierarchy is started without authority over it (`Authority.standing`); what runs
without authority is stopped, or the node fences itself, before anybody else may start it; authority
is given up only when everything is certainly down.
"""

from __future__ import annotations

from dataclasses import replace

from agent.core import gates
from agent.core.authority.contract import Standing
from agent.core.effects import Effect, Failure, FenceMyself, Kind, Severity
from agent.core.hierarchy import HierarchyMachine
from agent.core.ids import FOREVER, NEVER, HierarchyId, Instant, NodeId, later
from agent.core.mind import Mind, notice
from agent.core.placement import decide, why_nobody
from agent.core.state import Activity, Goal, Leaving, Trouble
from agent.core.states import OnAuthorityLost, OnShutdown, PeerStanding, Phase, Quorum, Reason, Switchback

TRY_AGAIN_FIRST_MS, TRY_AGAIN_MOST_MS = 30_000, 600_000  # local tries while there is nowhere to go
CALM_MS = 3_600_000  # after so long without trouble they begin anew


def reconcile(mind: Mind, name: HierarchyId, at: Instant) -> list[Effect]:
    """The next steps for one hierarchy."""
    machine, standing = mind.machines[name], mind.authority.standing(name, at)
    probing = machine.life.goal is Goal.PROBE and not machine.probed
    if machine.life.stuck:
        return machine.advance(at) if probing else []  # fencing: nothing else helps
    if _must_end(mind, name, at):
        return _be_harmless(mind, machine, at)
    if probing:
        return machine.advance(at)
    match standing:
        case Standing.SEEKING | Standing.EXPIRED:
            return []
        case Standing.HELD:
            return _as_owner(mind, machine, at)
        case Standing.NONE if mind.left_in_good_order(name):  # come back to it without a touch
            return mind.authority.seek(name, at)
        case Standing.NONE:
            return _without_authority(mind, machine, at)


def end(mind: Mind, name: HierarchyId, at: Instant) -> list[Effect]:
    """All that an agent that is stopping still does about a hierarchy: what runs without authority ends."""
    machine = mind.machines[name]
    if machine.is_down:
        machine.life.harmless_by = None
        mind.authority.let_go(name, at)
    return _be_harmless(mind, machine, at) if _must_end(mind, name, at) and not machine.life.stuck else []


def undisturbed_until(mind: Mind, name: HierarchyId, at: Instant) -> Instant:
    """Until when `reconcile` changes nothing if nothing but time passes; NEVER where that isn't plain.

    It is plain in the two states that last: in service here and in order, or down here and not this
    node's turn.
    """
    machine, register = mind.machines[name], mind.authority.register(name)
    life, standing = machine.life, mind.authority.standing(name, at)
    if life.stuck or life.wanted_until is not None or life.trusting is not None or register.unattended:
        return NEVER
    if standing is Standing.HELD and life.goal is Goal.UP:
        disturbed = register.suspects or life.leaving is not None or life.trouble is not None
        lasts_until = NEVER if disturbed or _better(mind, machine, at) is not None else FOREVER
    elif standing is Standing.NONE and life.goal is Goal.DOWN:
        lasts_until = _not_ours_until(mind, machine, at)
    else:
        return NEVER
    settles_at = FOREVER if life.settled else later(life.begun, mind.state.cluster.startup_grace_ms)
    return min(lasts_until, settles_at, machine.quiet_until())


def fail_over(mind: Mind, machine: HierarchyMachine, trouble: Trouble, at: Instant) -> list[Effect]:
    """A failure that couldn't be mended here: move the hierarchy, if there is a node to take it."""
    name, spec = machine.spec.name, machine.spec_of(trouble.tag)
    successor = mind.next_node(name, at)
    if not spec.failover or successor is None:
        off = "failover is off for it" if not spec.failover else ""
        return _stay(machine, trouble, at, off or why_nobody(mind.candidates(name, at)))
    until = later(at, machine.spec.failure_timeout_ms)
    remember(mind, Failure(hierarchy=name, tag=trouble.tag, until=until, why=trouble.why))
    why = f"{trouble.tag}: {trouble.why}"
    machine.life.leaving = Leaving(why=why, successor=successor)
    text = f"failing over to {successor}: {why}"
    told = notice(at, Kind.FAILOVER_BEGUN, Severity.ALARM, text, name)
    return [mind.authority.record(), told, *machine.begin(Goal.DOWN, at)]


def begin_move(
    mind: Mind, name: HierarchyId, at: Instant, why: str, *, to: NodeId | None, held: bool = False
) -> list[Effect]:
    """Stop it here in good order, then release it to `to` (None and not held: whoever fits)."""
    machine = mind.machines[name]
    machine.life.leaving = Leaving(why=why, successor=to, held=held)
    text = f"taking it out of service: {why}" if held else f"moving it to {to or 'whoever fits'}: {why}"
    told = notice(at, Kind.MOVE_BEGUN, Severity.INFO, text, name)
    return [told, *machine.begin(Goal.DOWN, at)]


def remember(mind: Mind, failure: Failure) -> None:
    """Hold a failure against this node until it times out or is cleared."""
    others = [each for each in mind.state.failures if each.hierarchy != failure.hierarchy]
    mind.state.failures[:] = [*others, failure]


def forget_failures(mind: Mind, name: HierarchyId, at: Instant, why: str) -> list[Effect]:
    """Hold nothing against this node any more."""
    if all(each.hierarchy != name for each in mind.state.failures):
        return []
    mind.state.failures[:] = [each for each in mind.state.failures if each.hierarchy != name]
    if mind.machines[name].life.goal is Goal.DOWN:
        for _, life in mind.machines[name].each():
            life.failed_why = ""
    told = notice(at, Kind.FAILURES_CLEARED, Severity.INFO, why, name)
    return [mind.authority.record(), told]


def try_again(machine: HierarchyMachine) -> None:
    """Let everything that failed be repaired anew."""
    machine.life.trouble = None
    for spec, life in machine.each():
        if life.failed_why:
            life.recoveries.clear()
            if machine.life.arrived and spec.local_recovery:
                life.needs_recovery = True
            else:
                life.failed_why = ""  # it is simply restored again


def _as_owner(mind: Mind, machine: HierarchyMachine, at: Instant) -> list[Effect]:
    life, name = machine.life, machine.spec.name
    life.free_since = life.wanted_until = life.harmless_by = life.confirming = life.waits_for = None
    life.trusting = None  # the register of this term says it now
    if mind.left_in_good_order(name):
        return mind.authority.attend(name, attended=True)
    waits_for, effects = gates.clear_suspects(mind, name, at)
    if (
        waits_for is not None
        and life.goal is not Goal.UP
        and life.leaving is None
        and not machine.some_active
        and not mind.state.departing
    ):
        life.waits_for = waits_for
        return effects
    return effects + _run(mind, machine, at)


def _run(mind: Mind, machine: HierarchyMachine, at: Instant) -> list[Effect]:
    life, name = machine.life, machine.spec.name
    if life.leaving is not None:
        return _leave(mind, machine, life.leaving, at)
    if mind.state.departing:
        return _depart(mind, machine, at)
    if life.goal is not Goal.UP:
        if life.goal is Goal.PROBE and not machine.all_active and not life.settled:
            return []  # a restarted agent looks around first: a peer may have taken it over meanwhile
        if machine.is_down and mind.why_not_in_sync(name):  # it ran on without its own copy
            return mind.authority.release(name, at, successor=mind.next_node(name, at), held=False)
        return _take_up(machine, at)
    if life.trouble is not None:
        return fail_over(mind, machine, life.trouble, at)
    if (better := _switchback_to(mind, machine, at)) is not None:
        why = f"switchback is automatic and {better} has priority"
        return begin_move(mind, name, at, why, to=better)
    return machine.advance(at)


def _take_up(machine: HierarchyMachine, at: Instant) -> list[Effect]:
    effects = list[Effect]()
    if machine.all_active:
        text = "everything was running already; nothing was touched"
        effects.append(notice(at, Kind.ADOPTED, Severity.INFO, text, machine.spec.name))
    for spec, life in machine.each():
        life.failed_why = ""
        life.check_at = later(at, spec.check_interval_ms)
        if life.activity is Activity.UNKNOWN and spec.check_interval_ms == 0 and machine.some_active:
            life.activity = Activity.ACTIVE  # nothing can tell; the rest of it runs here
    return effects + machine.begin(Goal.UP, at)


def _leave(mind: Mind, machine: HierarchyMachine, leaving: Leaving, at: Instant) -> list[Effect]:
    effects = machine.begin(Goal.DOWN, at)
    if not machine.is_down:
        return effects
    machine.life.leaving = None
    name, successor = machine.spec.name, leaving.successor
    fit = {each.node for each in mind.candidates(name, at) if each.fit and each.present}
    stays = mind.state.departing and machine.spec.on_shutdown is OnShutdown.STOP
    if successor not in fit:
        successor = None if leaving.held or stays else mind.next_node(name, at)
    if mind.state.departing and successor is None and not leaving.held:
        return effects + _depart(mind, machine, at)
    if successor is None and not leaving.held:
        effects += forget_failures(mind, name, at, "no other node can take it any more: trying again here")
        return effects + _take_up(machine, at)
    return effects + mind.authority.release(name, at, successor=successor, held=leaving.held)


def _depart(mind: Mind, machine: HierarchyMachine, at: Instant) -> list[Effect]:
    """The machine stops: another node gets it, or it stays down until this one is back."""
    name, stays = machine.spec.name, machine.spec.on_shutdown is OnShutdown.STOP
    if not machine.is_down:
        to = None if stays else mind.next_node(name, at)
        text = "its machine is stopping" + (": it waits for this node's return" if stays else "")
        return begin_move(mind, name, at, text, to=to)
    return [] if stays else mind.authority.release(name, at, successor=mind.next_node(name, at), held=False)


def _without_authority(mind: Mind, machine: HierarchyMachine, at: Instant) -> list[Effect]:
    life, name, effects = machine.life, machine.spec.name, list[Effect]()
    register = mind.authority.register(name)
    life.leaving, life.trouble, life.harmless_by = None, None, None
    life.replicas.clear()
    if machine.is_down:
        mind.authority.let_go(name, at)
    foreign = register.owner is not None or register.held
    if register.owner == mind.state.me and machine.is_down and mind.state.cluster.quorum is Quorum.MAJORITY:
        return mind.authority.release(name, at, successor=None, held=False)
    if life.goal is Goal.DOWN:
        effects += machine.advance(at)
    elif life.goal is Goal.UP or foreign or not machine.some_active:
        effects += machine.begin(Goal.DOWN, at)  # what can't be told is removed as well: then it is certain
    if machine.phase not in (Phase.STOPPED, Phase.PROBING):
        return effects
    return effects + _seek_if_ours(mind, machine, at)


def _must_end(mind: Mind, name: HierarchyId, at: Instant) -> bool:
    """Does it run here while others wait only so long for its end? What was left in good order may stay."""
    over = mind.authority.standing(name, at) is Standing.NONE and mind.runs_on_authority(name)
    return over and not mind.left_in_good_order(name)


def _be_harmless(mind: Mind, machine: HierarchyMachine, at: Instant) -> list[Effect]:
    """The authority for what runs here is gone: another node may start it after the margin."""
    life, cluster = machine.life, mind.state.cluster
    if cluster.on_authority_lost is OnAuthorityLost.STOP:
        if life.harmless_by is None:
            life.harmless_by, life.leaving = later(at, cluster.stop_within_ms), None
        if at < life.harmless_by:
            return machine.begin(Goal.DOWN, at)
    life.stuck = True
    reason = f"no authority over {machine.spec.name} any more"
    told = notice(at, Kind.FENCING_MYSELF, Severity.ALARM, reason, machine.spec.name)
    return [told, FenceMyself(reason)]


def _seek_if_ours(mind: Mind, machine: HierarchyMachine, at: Instant) -> list[Effect]:
    name, owner = machine.spec.name, mind.authority.register(machine.spec.name).owner
    if owner is not None and mind.standing_of(owner) is PeerStanding.ALIVE:
        life = machine.life
        life.free_since = life.wanted_until = life.confirming = life.waits_for = None
        life.vouched_off = ()
        return []  # what `decide` would say; asked here because it is so almost always
    view = mind.view(name, at)
    verdict = decide(view)
    in_line = verdict.take or verdict.reason is Reason.NOT_FIRST
    machine.life.free_since = view.free_since if in_line else None
    reason = Reason.ASKED if _is_wanted(mind, machine, at) else verdict.reason
    if not verdict.take and reason is not Reason.ASKED:
        machine.life.waits_for = None
        return []
    machine.life.waits_for, effects = gates.before_seeking(mind, name, reason, at)
    if machine.life.waits_for is not None:
        return effects
    effects += mind.authority.seek(name, at, mind.trust(name, at))
    if mind.authority.standing(name, at) is Standing.NONE:
        machine.life.waits_for = Reason.VOTES
        return effects
    text = f"taking it: {reason.value}"
    told = notice(at, Kind.OWNERSHIP_SOUGHT, Severity.INFO, text, name, peer=owner, reason=reason)
    return [*effects, told]


def _not_ours_until(mind: Mind, machine: HierarchyMachine, at: Instant) -> Instant:
    """Until when `_seek_if_ours` leaves it alone, if nothing but time passes."""
    name, owner = machine.spec.name, mind.authority.register(machine.spec.name).owner
    if owner is not None and mind.standing_of(owner) is PeerStanding.ALIVE:
        return FOREVER
    if machine.life.waits_for is not None:
        blocked = machine.life.waits_for is Reason.VOTES and not mind.state.cluster.isolation_check
        return mind.authority.blocked_until(name, at) if blocked else NEVER
    verdict = decide(mind.view(name, at))
    if verdict.take or verdict.reason is Reason.OWNER_RUNS_IT:  # which is soon over if it isn't heard
        return NEVER
    return verdict.until


def _is_wanted(mind: Mind, machine: HierarchyMachine, at: Instant) -> bool:
    """Did an operator ask for it here, and nothing has answered that yet, nor would forbid it now?"""
    life = machine.life
    if life.wanted_until is not None and at >= life.wanted_until:
        life.wanted_until = None
    if life.wanted_until is None or gates.may_still_run(mind, machine.spec.name) is not None:
        return False
    return not mind.why_not_fit(machine.spec.name, at)


def _stay(machine: HierarchyMachine, trouble: Trouble, at: Instant, because: str) -> list[Effect]:
    """Nowhere to go: say so once, and try again here, more slowly each time."""
    if trouble.told and at < trouble.retry_at:
        return machine.advance(at)
    if trouble.told:
        try_again(machine)
        return machine.advance(at)
    if at - machine.life.tried_at > CALM_MS:
        machine.life.tries = 0
    machine.life.tried_at = at
    wait_ms = min(TRY_AGAIN_FIRST_MS << min(machine.life.tries, 10), TRY_AGAIN_MOST_MS)
    machine.life.tries += 1
    machine.life.trouble = replace(trouble, told=True, retry_at=later(at, wait_ms))
    text = f"{trouble.why}; it stays here because {because}; next try in {wait_ms // 1000} s"
    told = machine.notify(at, Kind.NOWHERE_TO_GO, Severity.ALARM, text, tag=trouble.tag)
    return [told, *machine.advance(at)]


def _switchback_to(mind: Mind, machine: HierarchyMachine, at: Instant) -> NodeId | None:
    """The node of higher priority to give it back to, once it has been fit for long enough."""
    life, better = machine.life, _better(mind, machine, at)
    if better is None:
        life.better_since = None
        return None
    if life.better_since is None:
        life.better_since = at
    return better if at - life.better_since >= machine.spec.switchback_after_ms else None


def _better(mind: Mind, machine: HierarchyMachine, at: Instant) -> NodeId | None:
    """A fit node of higher priority, if switchback is automatic."""
    life, spec, me = machine.life, machine.spec, mind.state.me
    if spec.switchback is not Switchback.AUTOMATIC or not life.arrived or me not in spec.nodes:
        return None
    better = mind.next_node(spec.name, at)
    return better if better is not None and spec.rank(better) < spec.rank(me) else None
