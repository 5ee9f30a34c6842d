"""What the end of an action means for its resource and its hierarchy.

Keeps:
- UNKNOWN never fails a resource: a check that nobody answered is an alarm, a restore or recovery
  that nobody answered is tried again;
- a failed check leads to a local recovery first, within the resource's policy, children first;
- a remove that fails leads to a forced remove, and that failing to fencing this node: a move never
  freezes half-way.
"""

from __future__ import annotations

from agent.core.effects import Effect, FenceMyself, Kind, Severity
from agent.core.hierarchy import REASSERT_AFTER_MS, HierarchyMachine
from agent.core.ids import Instant, Tag, later
from agent.core.model import Resource
from agent.core.state import Activity, Goal, ResourceLife, RunningAction, Trouble
from agent.core.states import Action, Outcome

# Between tries of an action that nobody answers. A service may wait for the API alone, so that one that is
# back is used within five seconds; a try is a few calls, which even an API that throttles can bear.
RETRY_FIRST_MS, RETRY_MOST_MS = 1_000, 4_000


def finish(machine: HierarchyMachine, tag: Tag, outcome: Outcome, detail: str, at: Instant) -> list[Effect]:
    """An action of this resource ended; its effects, without the next steps (`advance` takes them)."""
    spec, life = machine.spec_of(tag), machine.life.resources[tag]
    ended = life.running
    assert ended is not None, tag
    life.running = None
    effects = _tell_end(machine, tag, ended, outcome, detail, at)
    if machine.life.goal is Goal.DOWN:
        return effects + _towards_down(machine, spec, life, ended.action, outcome, detail, at)
    match ended.action:
        case Action.CHECK if not life.probed:
            _probed(machine, life, outcome, detail)
            return effects
        case Action.CHECK | Action.REASSERT:
            return effects + _checked(machine, spec, life, outcome, detail, at)
        case Action.RESTORE:
            return effects + _restored(machine, spec, life, outcome, detail, at)
        case Action.RECOVER:
            return effects + _recovered(machine, spec, life, outcome, detail, at)
        case Action.REMOVE | Action.FORCE_REMOVE:  # the goal changed to UP meanwhile: restore it again
            life.activity = Activity.INACTIVE if outcome is Outcome.OK else Activity.UNKNOWN
            return effects


def _tell_end(
    machine: HierarchyMachine, tag: Tag, ended: RunningAction, outcome: Outcome, detail: str, at: Instant
) -> list[Effect]:
    """Every action is worth telling but those that, when all is well, change nothing."""
    if ended.action in {Action.CHECK, Action.REASSERT}:
        return []
    text = f"{ended.action.value}: {outcome.value}" + (f": {detail}" if detail else "")
    severity = Severity.INFO if outcome in {Outcome.OK, Outcome.CANCELLED} else Severity.WARNING
    return [
        machine.notify(
            at,
            Kind.ACTION_FINISHED,
            severity,
            text,
            tag=tag,
            action=ended.action,
            took_ms=at - ended.since,
        )
    ]


def _probed(machine: HierarchyMachine, life: ResourceLife, outcome: Outcome, detail: str) -> None:
    match outcome:
        case Outcome.OK:
            life.activity, life.probed = Activity.ACTIVE, True
        case Outcome.FAILED:
            left_over = machine.life.in_part
            life.activity, life.probed = Activity.UNKNOWN if left_over else Activity.INACTIVE, True
        case Outcome.UNKNOWN | Outcome.TIMED_OUT:
            life.activity, life.probed, life.unknown_why = Activity.UNKNOWN, True, detail or "check timed out"
        case Outcome.CANCELLED:
            pass


def _checked(
    machine: HierarchyMachine, spec: Resource, life: ResourceLife, outcome: Outcome, detail: str, at: Instant
) -> list[Effect]:
    life.check_at = later(at, spec.check_interval_ms)
    match outcome:
        case Outcome.OK:
            return _fine(machine, spec, life, at)
        case Outcome.CANCELLED:
            return []
        case Outcome.UNKNOWN:
            life.timeouts = 0
            known, life.unknown_why = bool(life.unknown_why), detail or "no answer"
            if known:
                return []
            text = f"it is in doubt, and so left alone: {life.unknown_why}"
            return [machine.notify(at, Kind.RESOURCE_UNKNOWN, Severity.ALARM, text, tag=spec.tag)]
        case Outcome.TIMED_OUT:
            life.timeouts += 1
            if life.timeouts < spec.check_failures:
                life.check_at = at
                return []
            why = f"quick-check out of time {life.timeouts} times (limit {spec.limits.check_ms} ms)"
            return _broken(machine, spec, life, why, at)
        case Outcome.FAILED:
            return _broken(machine, spec, life, detail or "quick-check failed", at)


def _fine(machine: HierarchyMachine, spec: Resource, life: ResourceLife, at: Instant) -> list[Effect]:
    ailing = life.failed_why or life.unknown_why
    life.activity, life.timeouts = Activity.ACTIVE, 0
    life.failed_why, life.unknown_why, life.needs_recovery = "", "", False
    trouble = machine.life.trouble
    if trouble is not None and trouble.tag == spec.tag:
        machine.life.trouble = None
    if not ailing:
        return []
    return [
        machine.notify(
            at, Kind.RESOURCE_RECOVERED, Severity.INFO, f"works again; was: {ailing}", tag=spec.tag
        )
    ]


def _broken(
    machine: HierarchyMachine, spec: Resource, life: ResourceLife, why: str, at: Instant
) -> list[Effect]:
    """It doesn't work: repair it here if the policy lets us, else it is the hierarchy's trouble."""
    life.failed_why, life.unknown_why, life.timeouts, life.activity = why, "", 0, Activity.UNKNOWN
    effects: list[Effect] = [machine.notify(at, Kind.RESOURCE_FAILED, Severity.ALARM, why, tag=spec.tag)]
    since = at - spec.recovery_window_ms
    life.recoveries = [each for each in life.recoveries if each > since]
    if not spec.local_recovery:
        machine.life.trouble = machine.life.trouble or Trouble(tag=spec.tag, why=why)
    elif len(life.recoveries) >= spec.max_recoveries:
        often = f"{why}; {len(life.recoveries)} local recoveries within {spec.recovery_window_ms // 1000} s"
        machine.life.trouble = machine.life.trouble or Trouble(tag=spec.tag, why=often)
    else:
        life.needs_recovery = True
        life.recoveries.append(at)
    return effects


def _recovered(
    machine: HierarchyMachine, spec: Resource, life: ResourceLife, outcome: Outcome, detail: str, at: Instant
) -> list[Effect]:
    match outcome:
        case Outcome.OK:
            effects = _fine(machine, spec, life, at)
            life.retries = 0
            for tag in [spec.tag, *machine.above(spec.tag)]:  # what rests on it may have suffered
                machine.life.resources[tag].check_at = at
            return effects
        case Outcome.UNKNOWN:
            return _retry_later(machine, spec, life, detail, at)
        case Outcome.CANCELLED:
            return []
        case Outcome.FAILED | Outcome.TIMED_OUT:
            life.needs_recovery = False
            why = f"{life.failed_why}; recover: {detail or outcome.value}"
            machine.life.trouble = machine.life.trouble or Trouble(tag=spec.tag, why=why)
            return []


def _restored(
    machine: HierarchyMachine, spec: Resource, life: ResourceLife, outcome: Outcome, detail: str, at: Instant
) -> list[Effect]:
    match outcome:
        case Outcome.OK:
            life.retries, life.check_at = 0, later(at, spec.check_interval_ms)
            if spec.reasserts:
                life.reassert_at = tuple(later(at, each) for each in REASSERT_AFTER_MS)
            return _fine(machine, spec, life, at)
        case Outcome.UNKNOWN:
            life.activity = Activity.UNKNOWN
            return _retry_later(machine, spec, life, detail, at)
        case Outcome.CANCELLED:
            life.activity = Activity.UNKNOWN
            return []
        case Outcome.FAILED | Outcome.TIMED_OUT:
            life.activity, life.failed_why = Activity.UNKNOWN, f"restore: {detail or outcome.value}"
            machine.life.trouble = machine.life.trouble or Trouble(tag=spec.tag, why=life.failed_why)
            text = life.failed_why
            return [machine.notify(at, Kind.RESOURCE_FAILED, Severity.ALARM, text, tag=spec.tag)]


def _retry_later(
    machine: HierarchyMachine, spec: Resource, life: ResourceLife, detail: str, at: Instant
) -> list[Effect]:
    """Nobody answered: that moves nothing; try again, more slowly each time."""
    wait_ms = min(RETRY_FIRST_MS << min(life.retries, 10), RETRY_MOST_MS)
    life.retries, life.retry_at = life.retries + 1, later(at, wait_ms)
    life.unknown_why = detail or "no answer"
    if life.retries > 1:
        return []
    text = f"nobody answered; it is tried again: {life.unknown_why}"
    return [machine.notify(at, Kind.RESOURCE_UNKNOWN, Severity.ALARM, text, tag=spec.tag)]


def _towards_down(
    machine: HierarchyMachine,
    spec: Resource,
    life: ResourceLife,
    action: Action,
    outcome: Outcome,
    detail: str,
    at: Instant,
) -> list[Effect]:
    if action is Action.CHECK and not life.probed:
        _probed(machine, life, outcome, detail)
        return []
    if action not in {Action.REMOVE, Action.FORCE_REMOVE}:
        # Whatever a cut short restore, recovery or check left behind: remove will see.
        if life.activity is not Activity.INACTIVE or action in {Action.RESTORE, Action.RECOVER}:
            life.activity = Activity.UNKNOWN
        return []
    if outcome is Outcome.OK:
        life.activity, life.probed, life.unknown_why = Activity.INACTIVE, True, ""
        return []
    life.activity = Activity.UNKNOWN
    if action is Action.REMOVE:
        return [machine.start(spec, Action.FORCE_REMOVE, at)]
    machine.life.stuck = True
    reason = f"{spec.tag} can't be removed: {detail or outcome.value}"
    return [
        machine.notify(at, Kind.FENCING_MYSELF, Severity.ALARM, reason, tag=spec.tag),
        FenceMyself(reason),
    ]
