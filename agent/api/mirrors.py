"""What people see of replicated data: what each node's kit tells (`Kit.details`), and that put together.

A kit tells a JSON object in the shape of `MirrorDetails`. Every key may be missing, and unknown ones are
ignored: kits of other versions and other makers are shown as far as they are understood.
"""

from __future__ import annotations

import msgspec


class ResyncDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The last copy that was completed."""

    kind: str  # "union" (of what either side noted as changed) | "full"
    bytes: int = 0
    seconds: float = 0.0


LEG_STATES = (  # of a target, as the source sees it
    *("in-sync", "copying", "queued", "waiting"),
    *("dropped", "paused", "slow", "unreachable", "refused"),
)


class LegDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One target, as the source sees it."""

    node: str
    state: str  # one of LEG_STATES
    percent: float | None = None  # of the copy under way
    bytes_left: int | None = None
    rate_bytes_per_s: float | None = None
    seconds_left: float | None = None
    lag_bytes: int | None = None  # what the target lacks; None: as much as is left to copy, if anything is
    lag_s: float | None = None  # for how long its copy hasn't been whole; of one that counts: mode async
    address: str = ""  # in use
    stalled_ms: int = 0  # for how long writes have waited for it
    answer_ms: int | None = None  # how long it takes for an answer, on average; None: nothing was asked
    slow_ms: int = 0  # the same if it is too long
    why: str = ""  # of a state that isn't fine
    last_resync: ResyncDetails | None = None

    @property
    def lacks_bytes(self) -> int | None:
        """How much of the source's data isn't there; None: unknown."""
        if self.state == "in-sync":
            return self.lag_bytes or 0
        return self.bytes_left if self.lag_bytes is None else self.lag_bytes


class DiskDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The node's own disk."""

    path: str = ""
    state: str = ""  # "ok", or what it is: "blank", "foreign", "failed", …
    why: str = ""


class JobDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The newest thing that the kit does, or did, for an operator beside its duties."""

    verb: str  # "create", "verify", …
    state: str  # "running" | "done" | "failed"
    percent: float | None = None
    text: str = ""  # what came of it


class MirrorDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One mirror on one node, as its kit tells it."""

    role: str = "none"  # "source" | "target" | "none"
    mode: str = ""  # "sync" | "async"
    size_bytes: int | None = None
    resync_limit_bytes_per_s: int | None = None  # 0: none
    legs: list[LegDetails] = msgspec.field(default_factory=list)  # the source knows them
    disk: DiskDetails = DiskDetails()
    job: JobDetails | None = None


class MirrorOnNode(msgspec.Struct, frozen=True, kw_only=True):
    """One mirror on one node."""

    standing: str  # of the node: "self" | "alive" | "lost" | "left" | "never-heard"
    in_sync: bool  # the register lists its copy: it holds every acknowledged write
    details: MirrorDetails | None = None
    trouble: str = ""  # why there are no details


class MirrorReport(msgspec.Struct, frozen=True, kw_only=True):
    """One replicated resource in the whole cluster."""

    tag: str
    kit: str
    hierarchy: str
    owner: str | None
    in_service: bool
    in_sync: list[str]  # nodes whose copies hold every acknowledged write; empty: no copy counts yet
    nodes: dict[str, MirrorOnNode]  # by priority
    remarks: list[str] = msgspec.field(default_factory=list)  # what isn't fine, and what an operator can do

    def leg(self, node: str) -> LegDetails | None:
        """That node's copy as the source sees it."""
        source = self.nodes.get(self.owner or "")
        legs = source.details.legs if source is not None and source.details is not None else []
        return next((each for each in legs if each.node == node), None)


def read_details(text: str) -> MirrorDetails:
    """What a kit told; raises ValueError where it can't be understood."""
    try:
        return msgspec.json.decode(text, type=MirrorDetails)
    except msgspec.DecodeError as error:
        raise ValueError(f"its kit tells what this version doesn't understand: {error}") from error
