"""The few words a resource's and a node's condition is told in."""

from __future__ import annotations

from enum import Enum


class Health(Enum):
    """A check's answer. What can't be known is UNKNOWN: it raises an alarm and never moves a service."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class ResourceState(Enum):
    """What `kage status` shows, in LifeKeeper's words."""

    ISP = "ISP"  # in service, protected
    ISU = "ISU"  # in service, unprotected: nothing watches it at the moment
    OSU = "OSU"  # out of service, unimpaired
    OSF = "OSF"  # out of service, failed
    UNKNOWN = "unknown"


class Action(Enum):
    """What a kit can be asked to do with one resource on this node."""

    RESTORE = "restore"
    REMOVE = "remove"
    FORCE_REMOVE = "force-remove"  # the last try before the node fences itself
    CHECK = "quick-check"
    RECOVER = "recover"
    REASSERT = "reassert"  # say once more, soon after a restore, what a former owner may yet overwrite


class Outcome(Enum):
    """How an action ended."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"  # nobody answered: an API, IMDS, the network
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"


class Phase(Enum):
    """Where a hierarchy stands on one node."""

    PROBING = "probing"  # just started: finding out what runs, touching nothing
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STUCK = "stuck"  # remove failed in every way; the node fences itself


class PeerStanding(Enum):
    """What is known of a peer."""

    NEVER_HEARD = "never-heard"
    ALIVE = "alive"
    LOST = "lost"  # silent on every comm path for dead_after
    LEFT = "left"  # said goodbye; what it ran may still run there


class PathState(Enum):
    """One comm path to one peer."""

    UP = "up"
    DOWN = "down"


class Switchback(Enum):
    """What happens when a node of higher priority returns."""

    INTELLIGENT = "intelligent"  # stay where it is until an operator asks
    AUTOMATIC = "automatic"


class Quorum(Enum):
    """Who must agree before a hierarchy may run."""

    NONE = "none"  # whoever is alive: allowed, shown as a permanent warning
    MAJORITY = "majority"  # more than half of all nodes, witnesses and the arbiter


class ArbiterOutcome(Enum):
    """How a request to the arbiter ended."""

    OK = "ok"
    CONFLICT = "conflict"  # somebody else wrote; the answer holds what is there
    UNANSWERED = "unanswered"  # nobody knows
    REFUSED = "refused"  # permission, no such table or bucket: an operator must act


class OnAuthorityLost(Enum):
    """What a node does whose authority ran out while it runs something."""

    REBOOT = "reboot"
    POWEROFF = "poweroff"
    STOP = "stop"  # remove everything within stop_within; candidates wait that long too


class OnShutdown(Enum):
    """What becomes of a hierarchy when the machine that runs it is shut down or rebooted in good order."""

    SWITCH_OVER = "switch-over"  # another node takes it; stopped if none can
    STOP = "stop"  # it is stopped, and waits for this machine's return


class Fencing(Enum):
    """What becomes of an owner that is lost, before another node takes its hierarchy up."""

    NONE = "none"  # nothing: no fencing is configured
    BESIDE = "beside"  # it is fenced, and nothing waits for that: a majority's grants suffice
    REQUIRED = "required"  # nothing is started before there is evidence that it is harmless


class Trust(Enum):
    """What says that a node's copy of replicated data may be used."""

    IN_SYNC = "in_sync"  # the register: it holds every acknowledged write
    FIRST = "first"  # an operator: no copy counts yet, and this one shall be the first
    FORCED = "forced"  # an operator: whatever the register says; what only other copies hold is lost


class Reason(Enum):
    """Why a node takes a hierarchy or leaves it alone."""

    ASKED = "an operator asked for it here"
    OWNER_LOST = "its owner is lost"
    HANDED_OVER = "it was released to this node"
    RELEASED = "it was released"
    LAST_OWNER = "cold start: this node ran it last"
    FIRST_START = "it was never started, and this node comes first"
    HELD = "an operator holds it out of service"
    OWNER_RUNS_IT = "its owner is alive"
    OWNER_LEFT = "its owner's agent was stopped and may still run it"
    NOT_FIT = "this node isn't fit to run it"
    WAITING = "waiting for nodes that were not heard yet"
    NOT_FIRST = "another node comes first"
    ISOLATED = "this node reaches too little of the outside"
    CONFIRMING = "an operator is asked first"
    FENCING = "its lost owner isn't fenced yet"
    VOTES = "no majority of votes is to be had"
