"""One hierarchy on this node: brings its resources up or down in the order of their dependencies.

Keeps:
- a resource is restored only when everything it rests on is in service;
- a resource is removed only when all its parents are certainly out of service;
- one action at a time for each resource; branches that don't depend on each other run in parallel;
- probing touches nothing.
It doesn't know other nodes. Whether it may go up is `agent.core.node`'s question to the authority.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.core.effects import CancelAction, Effect, Kind, Notice, Notify, Severity, StartAction
from agent.core.ids import FOREVER, NEVER, ActionId, Instant, Tag
from agent.core.messages import ResourceReport
from agent.core.model import Hierarchy, Limits, Resource
from agent.core.state import Activity, Goal, HierarchyLife, ResourceLife, RunningAction
from agent.core.states import Action, Phase, ResourceState

REMOVALS = (Action.REMOVE, Action.FORCE_REMOVE)  # a tuple, as elsewhere: enums are slow to hash
REASSERT_AFTER_MS = (1_000, 5_000, 30_000)  # a former owner's last call may be applied as late as that


class HierarchyMachine:
    """Walks one hierarchy towards its goal."""

    def __init__(self, spec: Hierarchy, life: HierarchyLife, new_action: Callable[[], ActionId]) -> None:
        self.spec, self.life, self._new_action = spec, life, new_action
        self._specs = {each.tag: each for each in spec.resources}
        self._parents: dict[Tag, list[Tag]] = {each.tag: [] for each in spec.resources}
        self._below: dict[Tag, frozenset[Tag]] = {}
        for each in spec.resources:  # children first
            for child in each.depends_on:
                self._parents[child].append(each.tag)
            deeper = (self._below[child] for child in each.depends_on)
            self._below[each.tag] = frozenset(each.depends_on).union(*deeper)

    # What it is like now

    @property
    def probed(self) -> bool:
        """Is it known of every resource whether it runs here, as far as it can be known?"""
        return all(each.probed for each in self.life.resources.values())

    @property
    def all_active(self) -> bool:
        """Everything runs here."""
        return all(each.activity is Activity.ACTIVE for each in self.life.resources.values())

    @property
    def some_active(self) -> bool:
        """Something certainly runs here."""
        return any(each.activity is Activity.ACTIVE for each in self.life.resources.values())

    @property
    def is_down(self) -> bool:
        """Nothing runs here, certainly, and nothing is in progress."""
        for each in self.life.resources.values():  # a loop: this is asked several times in each step
            if each.activity is not Activity.INACTIVE or each.running is not None:
                return False
        return True

    @property
    def phase(self) -> Phase:
        """Where it stands, in one word."""
        if self.life.stuck:
            return Phase.STUCK
        match self.life.goal:
            case Goal.PROBE:
                return Phase.PROBING
            case Goal.UP:
                return Phase.RUNNING if self.life.arrived else Phase.STARTING
            case Goal.DOWN:
                return Phase.STOPPED if self.is_down else Phase.STOPPING

    def reports(self) -> tuple[ResourceReport, ...]:
        """Each resource as other nodes and people see it."""
        return tuple(self._report(each) for each in self.spec.resources)

    # What it shall become

    def begin(self, goal: Goal, at: Instant) -> list[Effect]:
        """Set the goal and take the first steps to it."""
        if goal is not self.life.goal:
            self.life.goal, self.life.goal_since, self.life.arrived = goal, at, False
            if goal is Goal.DOWN:
                self._forget_repairs()
                self.life.arrived = self.is_down  # nothing to do is no news
        return self.advance(at)

    def advance(self, at: Instant) -> list[Effect]:
        """Start whatever can be started now; nothing is left to be started by chance later."""
        match self.life.goal:
            case Goal.PROBE:
                return self._probe(at)
            case Goal.UP:
                return [*self._up(at), *self._reassert_due(at), *self._check_due(at), *self._arrive(at)]
            case Goal.DOWN:
                return self._down(at)

    def next_deadline(self, now: Instant) -> Instant | None:
        """When the next check or retry will be due; what is due by now waits for something else."""
        if self.life.goal is not Goal.UP:
            return None
        due = [
            life.check_at if life.activity is Activity.ACTIVE else life.retry_at
            for spec, life in self.each()
            if life.running is None and (spec.check_interval_ms or life.activity is not Activity.ACTIVE)
        ]
        due += [life.reassert_at[0] for life in self.life.resources.values() if life.reassert_at]
        return min((at for at in due if at > now), default=None)

    def quiet_until(self) -> Instant:
        """Until when `advance` has nothing to start, if nothing but time passes; NEVER where it may have."""
        if not self.life.arrived or self.life.goal is Goal.PROBE:
            return NEVER
        if self.life.goal is Goal.DOWN:
            return FOREVER if self.is_down else NEVER
        due = [FOREVER]
        for spec, life in self.each():
            if life.needs_recovery or not life.probed or life.activity is not Activity.ACTIVE:
                return NEVER
            if life.running is None and spec.check_interval_ms:
                due.append(life.check_at)
            due += life.reassert_at[:1]
        return min(due)

    # The steps

    def _probe(self, at: Instant) -> list[Effect]:
        return [
            self.start(spec, Action.CHECK, at)
            for spec, life in self.each()
            if not life.probed and life.running is None
        ]

    def _up(self, at: Instant) -> list[Effect]:
        effects = list[Effect]()
        for spec, life in self.each():
            if life.running is not None or at < life.retry_at:
                continue
            if life.needs_recovery:
                if not any(self.life.resources[tag].needs_recovery for tag in self.below(spec.tag)):
                    effects.append(self.start(spec, Action.RECOVER, at))
            elif not life.probed:
                effects.append(self.start(spec, Action.CHECK, at))  # new by a reload: may run already
            elif not life.failed_why and life.activity is not Activity.ACTIVE and self._children_up(spec):
                effects.append(self.start(spec, Action.RESTORE, at))
        return effects

    def _check_due(self, at: Instant) -> list[Effect]:
        return [
            self.start(spec, Action.CHECK, at)
            for spec, life in self.each()
            if life.running is None
            and life.activity is Activity.ACTIVE
            and spec.check_interval_ms
            and at >= life.check_at
        ]

    def _reassert_due(self, at: Instant) -> list[Effect]:
        effects = list[Effect]()
        for spec, life in self.each():
            idle = life.running is None and life.activity is Activity.ACTIVE
            if idle and life.reassert_at and at >= life.reassert_at[0]:
                life.reassert_at = tuple(each for each in life.reassert_at if each > at)
                effects.append(self.start(spec, Action.REASSERT, at))
        return effects

    def _arrive(self, at: Instant) -> list[Effect]:
        if self.life.arrived or not self.all_active:
            return []
        self.life.arrived, self.life.tries, self.life.trouble = True, 0, None
        took_ms = at - self.life.goal_since
        return [self.notify(at, Kind.IN_SERVICE, Severity.INFO, "in service here", took_ms=took_ms)]

    def _down(self, at: Instant) -> list[Effect]:
        effects = list[Effect]()
        for spec, life in self.each():
            if life.running is not None:
                if life.running.action not in REMOVALS and not life.running.cancelled:
                    life.running.cancelled = True
                    effects.append(CancelAction(life.running.id))
            elif life.activity is not Activity.INACTIVE and self._parents_down(spec.tag):
                effects.append(self.start(spec, Action.REMOVE, at))
        if self.is_down and not self.life.arrived and not effects:
            self.life.arrived, self.life.in_part = True, False
            took_ms = at - self.life.goal_since
            effects.append(
                self.notify(at, Kind.OUT_OF_SERVICE, Severity.INFO, "out of service here", took_ms=took_ms)
            )
        return effects

    # Shared with agent.core.endings

    def each(self) -> Iterator[tuple[Resource, ResourceLife]]:
        """Every resource, children first, with its life."""
        for spec in self.spec.resources:
            yield spec, self.life.resources[spec.tag]

    def spec_of(self, tag: Tag) -> Resource:
        """The resource of that tag."""
        return self._specs[tag]

    def below(self, tag: Tag) -> frozenset[Tag]:
        """Everything that a resource rests on; its order means nothing."""
        return self._below[tag]

    def above(self, tag: Tag) -> list[Tag]:
        """Everything that rests on a resource."""
        return [each.tag for each in self.spec.resources if tag in self.below(each.tag)]

    def start(self, spec: Resource, action: Action, at: Instant) -> StartAction:
        """Start an action; there must be none in progress for this resource."""
        life = self.life.resources[spec.tag]
        assert life.running is None, (spec.tag, life.running)
        life.running = RunningAction(id=self._new_action(), action=action, since=at)
        if action in REMOVALS:
            life.activity = Activity.UNKNOWN  # nothing may rest on it any more, whatever the goal becomes
        return StartAction(life.running.id, self.spec.name, spec.tag, action, limit_ms(spec.limits, action))

    def notify(
        self,
        at: Instant,
        kind: Kind,
        severity: Severity,
        text: str,
        *,
        tag: Tag | None = None,
        action: Action | None = None,
        took_ms: int | None = None,
    ) -> Notify:
        """Tell people about this hierarchy."""
        return Notify(
            Notice(
                at=at,
                kind=kind,
                severity=severity,
                text=text,
                hierarchy=self.spec.name,
                tag=tag,
                action=action,
                took_ms=took_ms,
            )
        )

    def _children_up(self, spec: Resource) -> bool:
        """Is everything below in service? A child may be, e.g. a route, while its own children aren't."""
        below = [self.life.resources[tag] for tag in self.below(spec.tag)]
        return all(each.activity is Activity.ACTIVE and not each.failed_why for each in below)

    def _parents_down(self, tag: Tag) -> bool:
        parents = [self.life.resources[parent] for parent in self._parents[tag]]
        return all(each.activity is Activity.INACTIVE and each.running is None for each in parents)

    def _forget_repairs(self) -> None:
        self.life.trouble = None
        for life in self.life.resources.values():
            life.needs_recovery, life.timeouts, life.retries = False, 0, 0
            life.reassert_at = ()
            life.retry_at = self.life.goal_since

    def _report(self, spec: Resource) -> ResourceReport:
        life = self.life.resources[spec.tag]
        if life.failed_why:
            state, why = ResourceState.OSF, life.failed_why
        elif life.activity is Activity.ACTIVE:
            watched = self.life.goal is Goal.UP and not life.unknown_why
            state, why = ResourceState.ISP if watched else ResourceState.ISU, life.unknown_why
        elif life.running is not None and life.running.action in REMOVALS:
            state, why = ResourceState.ISU, life.unknown_why
        elif life.activity is Activity.INACTIVE:
            state, why = ResourceState.OSU, ""
        else:
            state, why = ResourceState.UNKNOWN, life.unknown_why
        action = life.running.action if life.running else None
        shown = action if action not in (Action.CHECK, Action.REASSERT) else None  # they change nothing
        return ResourceReport(tag=spec.tag, state=state, action=shown, why=why[:120])


def limit_ms(limits: Limits, action: Action) -> int:
    """The time limit of one action."""
    match action:
        case Action.RESTORE:
            return limits.restore_ms
        case Action.REMOVE | Action.FORCE_REMOVE:
            return limits.remove_ms
        case Action.CHECK:
            return limits.check_ms
        case Action.RECOVER:
            return limits.recover_ms
        case Action.REASSERT:
            return limits.restore_ms
