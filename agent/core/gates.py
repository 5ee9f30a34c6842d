"""What stands between this node and a hierarchy whose owner is lost.

Before it campaigns: it isn't cut off itself (`isolation_check`), and an operator doesn't object
(`confirm_failover`). Before it starts anything: the lost owner is fenced (`fencing`). Keeps:
- with `fencing = required` nothing starts before there is evidence that the lost owner is harmless, or an
  operator's word for it; evidence holds until that node is heard again;
- in mode `none` that comes before ownership is taken, in mode `majority` after it was won: a node that
  can't get a majority fences nobody;
- what an operator asks for needs no outside and no confirmation.
"""

from __future__ import annotations

from agent.core.effects import Effect, Fence, Kind, ProbeOutside, Severity
from agent.core.events import FencingEnded, OutsideProbed
from agent.core.ids import HierarchyId, Instant, NodeId, later
from agent.core.mind import Mind, notice
from agent.core.model import Confirmation
from agent.core.state import Confirming, FenceLife
from agent.core.states import Fencing, PeerStanding, Quorum, Reason

ABSENT = (PeerStanding.LOST, PeerStanding.NEVER_HEARD)
UNASKED = (Reason.OWNER_LOST, Reason.LAST_OWNER, Reason.FIRST_START, Reason.RELEASED)
PROBE_LIMIT_MS = 10_000  # an answer that hasn't come by then is asked for again
FENCE_AGAIN_MS = 10_000


def before_seeking(
    mind: Mind, name: HierarchyId, reason: Reason, at: Instant
) -> tuple[Reason | None, list[Effect]]:
    """What is in the way of a campaign (None: nothing), and what is done about it."""
    cluster, spec = mind.state.cluster, mind.machines[name].spec
    if cluster.isolation_check and reason in UNASKED:
        reaches, effects = _reaches_outside(mind, at)
        if not reaches:
            return Reason.ISOLATED, effects
    if spec.confirm is not None and reason is Reason.OWNER_LOST:
        confirmed, effects = _confirmed(mind, name, spec.confirm, at)
        if not confirmed:
            return Reason.CONFIRMING, effects
    if cluster.quorum is Quorum.NONE and cluster.fencing is Fencing.REQUIRED:
        owner = mind.authority.register(name).owner
        others = spec.nodes if owner is None else (owner,)
        fenced, effects = _fenced(mind, name, others, at)
        if not fenced:
            return Reason.FENCING, effects
    return None, []


def clear_suspects(mind: Mind, name: HierarchyId, at: Instant) -> tuple[Reason | None, list[Effect]]:
    """What keeps an owner from starting what it took from a lost one; evidence goes into the register."""
    rule, effects = mind.state.cluster.fencing, list[Effect]()
    for node in mind.authority.register(name).suspects:
        shot = rule is not Fencing.NONE and mind.state.cluster.quorum is Quorum.MAJORITY
        fenced, asked = _fenced(mind, name, (node,), at) if shot else (True, [])
        effects += mind.authority.clear(name, node) if fenced else asked
    waits = rule is Fencing.REQUIRED and mind.authority.register(name).suspects
    return Reason.FENCING if waits else None, effects


def outside_probed(mind: Mind, event: OutsideProbed) -> list[Effect]:
    """How much of the outside was reached."""
    outside = mind.state.outside
    outside.asked_at, outside.answered_at = None, event.at
    was_cut_off, outside.cut_off = outside.cut_off, 2 * event.reached < event.asked
    if was_cut_off is outside.cut_off:
        return []
    counts = f"{event.reached} of {event.asked} addresses of isolation_check"
    if outside.cut_off:
        text = f"this node reaches {counts}: it takes nothing over"
        return [notice(event.at, Kind.ISOLATED, Severity.ALARM, text)]
    return [notice(event.at, Kind.ISOLATED, Severity.INFO, f"this node reaches {counts} again")]


def fencing_ended(mind: Mind, event: FencingEnded) -> list[Effect]:
    """A fence's evidence, or why there is none."""
    life = mind.state.fences.setdefault(event.node, FenceLife())
    life.under_way = False
    if event.fenced:
        life.evidence, life.failed_why = event.text, ""
        return [notice(event.at, Kind.PEER_FENCED, Severity.WARNING, event.text, peer=event.node)]
    life.retry_at, known = later(event.at, FENCE_AGAIN_MS), life.failed_why
    life.failed_why = event.text
    if known == event.text:
        return []
    text = f"{event.text}; it is tried again every {FENCE_AGAIN_MS // 1_000} s"
    return [notice(event.at, Kind.FENCING_FAILED, Severity.ALARM, text, peer=event.node)]


def may_still_run(mind: Mind, name: HierarchyId) -> NodeId | None:
    """The owner, if it isn't heard and may run it all the same: only an operator's word for it ends that."""
    register, life = mind.authority.register(name), mind.machines[name].life
    owner = register.owner
    if owner is None or owner == mind.state.me or owner in life.vouched_off:
        return None
    silent = (PeerStanding.LOST, PeerStanding.NEVER_HEARD) if life.settled else (PeerStanding.LOST,)
    return None if mind.standing_of(owner) in silent and not register.unattended else owner


def heard(mind: Mind, peer: NodeId) -> None:
    """It lives: whatever was known of its death is over."""
    for machine in mind.machines.values():
        if peer in machine.life.vouched_off:
            machine.life.vouched_off = tuple(each for each in machine.life.vouched_off if each != peer)
    if (life := mind.state.fences.get(peer)) is not None and not life.under_way:
        del mind.state.fences[peer]


def confirmed(mind: Mind, name: HierarchyId, at: Instant, *, take: bool, by: str) -> list[Effect]:
    """The answer to a question that this node asked."""
    life = mind.machines[name].life
    assert life.confirming is not None, name
    life.confirming.answer = take
    text = f"{by}: take it over" if take else f"{by}: leave it until its owner is back"
    return [notice(at, Kind.CONFIRMATION, Severity.INFO, text, name)]


def _reaches_outside(mind: Mind, at: Instant) -> tuple[bool, list[Effect]]:
    """Not while that isn't known: the question is asked anew for each campaign."""
    outside = mind.state.outside
    if (
        outside.answered_at is not None
        and at - outside.answered_at < mind.state.cluster.heartbeat.dead_after_ms
    ):
        return not outside.cut_off, []
    if outside.asked_at is not None and at - outside.asked_at < PROBE_LIMIT_MS:
        return False, []
    outside.asked_at = at
    return False, [ProbeOutside()]


def _confirmed(mind: Mind, name: HierarchyId, rule: Confirmation, at: Instant) -> tuple[bool, list[Effect]]:
    life, owner = mind.machines[name].life, mind.authority.register(name).owner
    assert owner is not None, name
    if life.confirming is None or life.confirming.owner != owner:
        life.confirming = Confirming(owner=owner, since=at)
        default = "it is taken over" if rule.default else "it stays as it is"
        text = (
            f"{owner} is lost. Shall {mind.state.me} take it over? kage confirm {name} yes (or no); "
            f"without an answer {default} in {rule.within_ms / 1_000:g} s"
        )
        return False, [notice(at, Kind.CONFIRMATION, Severity.ALARM, text, name)]
    if life.confirming.answer is None and at - life.confirming.since >= rule.within_ms:
        effects = confirmed(mind, name, at, take=rule.default, by="nobody answered in time")
        return rule.default, effects
    return life.confirming.answer is True, []


def _fenced(
    mind: Mind, name: HierarchyId, nodes: tuple[NodeId, ...], at: Instant
) -> tuple[bool, list[Effect]]:
    """Is there evidence, or an operator's word, that each of these that is absent runs nothing?"""
    vouched, done, effects = mind.machines[name].life.vouched_off, True, list[Effect]()
    for node in nodes:
        if node in vouched or mind.standing_of(node) not in ABSENT:
            continue
        life = mind.state.fences.setdefault(node, FenceLife())
        done = done and bool(life.evidence)
        if not life.evidence and not life.under_way and at >= life.retry_at:
            life.under_way = True
            told = notice(at, Kind.FENCING_PEER, Severity.WARNING, f"fencing {node}", name, peer=node)
            effects += [Fence(node), told]
    return done, effects
