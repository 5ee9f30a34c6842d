"""The tables of cluster.toml as they are written, with the bounds of each value.

What spans several tables is checked where they are put together (clusters.py, hierarchies.py).
Defaults that the core has too are taken from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.durations import format_duration
from agent.config.errors import BadParameter
from agent.config.hostports import HostPort
from agent.core.model import Cluster, Confirmation, Heartbeat, Hierarchy, Limits, Resource
from agent.core.states import OnAuthorityLost, OnShutdown, Quorum, Switchback

DAY_MS = 86_400_000

Preset = Literal["fast", "balanced", "conservative"]
# The interval is about an eighth of dead_after: several heartbeats may be lost before a node is.
PRESETS: dict[str, Heartbeat] = {
    "fast": Heartbeat(interval_ms=37, dead_after_ms=300),
    "balanced": Heartbeat(interval_ms=250, dead_after_ms=2_000),
    "conservative": Heartbeat(interval_ms=1_250, dead_after_ms=10_000),
}

# Names appear in commands, messages and file names: they are kept plain.
Name = Annotated[
    str,
    Meta(
        title="a name of at most 63 letters, digits, - _ . that begins with a letter or digit,",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z",
        examples=["app-01"],
    ),
]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Region = Annotated[
    str,
    Meta(title="a region", pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}\Z", examples=["ap-northeast-1"]),
]
ActionLimit = Annotated[int, Meta(ge=10, le=DAY_MS)]


@dataclass(frozen=True, kw_only=True)
class ClusterTable:
    """[cluster]"""

    name: Annotated[Name, Meta(description="What the cluster is called in reports and notices.")]
    key_file: Annotated[
        Path,
        Meta(
            description="The 32-byte key that seals everything the nodes say to each other, made by "
            "`kage keygen`; the same on every node, mode 0400.",
            examples=["/etc/kagemusha/cluster.key"],
        ),
    ]
    preset: Annotated[
        Preset,
        Meta(description="How often nodes speak and how long silence means death; see the presets below."),
    ] = "balanced"
    heartbeat_interval_ms: Annotated[
        int | None,
        Meta(description="Time between heartbeats; overrides the preset.", ge=10, le=60_000),
    ] = None
    dead_after_ms: Annotated[
        int | None,
        Meta(
            description="A node silent on every comm path for so long is lost; overrides the preset. "
            "At least three heartbeat intervals.",
            ge=30,
            le=600_000,
        ),
    ] = None
    quorum: Annotated[
        Quorum,
        Meta(
            description="Who must agree before a hierarchy may run. `majority`: more than half of all nodes, "
            "witnesses and the arbiter; `none`: whoever is alive decides."
        ),
    ] = Quorum.MAJORITY
    witnesses: Annotated[
        tuple[str, ...],
        Meta(description="Nodes that vote and run nothing; they stand on every comm path as the others do."),
    ] = ()
    takeover_margin_ms: Annotated[
        int,
        Meta(
            description="How much later than the end of a grant another node takes over: by then the old "
            "owner is harmless.",
            ge=20,
            le=10_000,
        ),
    ] = Cluster.takeover_margin_ms
    on_authority_lost: Annotated[
        OnAuthorityLost,
        Meta(
            description="What a node does that runs something and lost its majority: `reboot` and "
            "`poweroff` at once, or `stop` everything within `stop_within`. `poweroff` also holds where a "
            "resource can't be removed."
        ),
    ] = Cluster.on_authority_lost
    stop_within_ms: Annotated[
        int | None,
        Meta(
            description='With on_authority_lost = "stop": how long it may take. Every other node waits as '
            "long before it takes over; a node that hasn't stopped by then reboots.",
            ge=100,
            le=3_600_000,
        ),
    ] = None
    isolation_check: Annotated[
        tuple[HostPort, ...],
        Meta(
            description="TCP ports outside the cluster: a node that reaches fewer than half of them takes "
            "nothing over.",
            max_length=16,
        ),
    ] = ()
    startup_grace_ms: Annotated[
        int,
        Meta(description="How long a cold start waits for nodes not heard yet.", ge=0, le=3_600_000),
    ] = Cluster.startup_grace_ms
    port: Annotated[Port, Meta(description="UDP port of the heartbeats and TCP port of the messages.")] = 7400

    def heartbeat(self) -> Heartbeat:
        """The preset, with what overrides it."""
        preset = PRESETS[self.preset]
        return Heartbeat(
            interval_ms=self.heartbeat_interval_ms or preset.interval_ms,
            dead_after_ms=self.dead_after_ms or preset.dead_after_ms,
        )

    def __post_init__(self) -> None:
        beat = self.heartbeat()
        if beat.dead_after_ms < 3 * beat.interval_ms:
            key = "heartbeat_interval_ms" if self.dead_after_ms is None else "dead_after_ms"
            raise BadParameter(
                key,
                f"{format_duration(beat.dead_after_ms)} of silence is less than three intervals of "
                f"{format_duration(beat.interval_ms)}: write a dead_after of at least "
                f'"{format_duration(3 * beat.interval_ms)}" or a shorter heartbeat_interval',
            )


@dataclass(frozen=True, kw_only=True)
class PathTable:
    """[comm_path.NAME] without the nodes' addresses"""

    priority: Annotated[
        int, Meta(description="1 is tried first for messages; heartbeats use every path.", ge=1, le=1_000)
    ]
    port: Annotated[Port | None, Meta(description="A port for this path alone; else the cluster's.")] = None


@dataclass(frozen=True, kw_only=True)
class ConfirmTable:
    """[hierarchy.NAME] confirm_failover"""

    within_ms: Annotated[
        int, Meta(description="How long an answer (`kage confirm`) is waited for.", ge=1_000, le=DAY_MS)
    ]
    default: Annotated[
        Literal["yes", "no"], Meta(description="What is done without an answer: `yes` takes it over.")
    ]

    def confirmation(self) -> Confirmation:
        """The same in the core's words."""
        return Confirmation(within_ms=self.within_ms, default=self.default == "yes")


@dataclass(frozen=True, kw_only=True)
class HierarchyTable:
    """[hierarchy.NAME] without its resources"""

    nodes: Annotated[
        tuple[str, ...],
        Meta(description="The nodes that may run it, highest priority first.", min_length=1),
    ]
    switchback: Annotated[
        Switchback,
        Meta(
            description="When a node of higher priority returns: `intelligent` stays where it is until an "
            "operator asks, `automatic` goes back."
        ),
    ] = Hierarchy.switchback
    switchback_after_ms: Annotated[
        int,
        Meta(description="Automatic: the better node must have been fit for so long.", ge=0, le=DAY_MS),
    ] = Hierarchy.switchback_after_ms
    failure_timeout_ms: Annotated[
        int,
        Meta(
            description="How long a node that failed to run it is not tried again.", ge=1_000, le=7 * DAY_MS
        ),
    ] = Hierarchy.failure_timeout_ms
    on_shutdown: Annotated[
        OnShutdown,
        Meta(
            description="When the machine that runs it is shut down or rebooted in good order: `switch-over` "
            "hands it to another node first, `stop` stops it until that machine is back."
        ),
    ] = Hierarchy.on_shutdown
    confirm_failover: Annotated[
        ConfirmTable | None,
        Meta(description="Ask an operator before it is taken from an owner that is lost; else nobody."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class LimitsTable:
    """How long each action of a resource may take"""

    restore_ms: Annotated[ActionLimit, Meta(description="Bringing it in service.")] = Limits.restore_ms
    remove_ms: Annotated[ActionLimit, Meta(description="Taking it out of service.")] = Limits.remove_ms
    quick_check_ms: Annotated[ActionLimit, Meta(description="One check.")] = Limits.check_ms
    recover_ms: Annotated[ActionLimit, Meta(description="Repairing it in place.")] = Limits.recover_ms


@dataclass(frozen=True, kw_only=True)
class ResourceTable:
    """[hierarchy.NAME.resource.TAG] without its kit's own parameters"""

    kit: Annotated[str, Meta(description="Which recovery kit runs it.", examples=["ip"])]
    depends_on: Annotated[
        tuple[str, ...],
        Meta(description="Tags of the same hierarchy that must be in service before it."),
    ] = Resource.depends_on
    check_interval_ms: Annotated[
        int | None, Meta(description="Time between two checks; else what suits the kit.", ge=100, le=DAY_MS)
    ] = None
    check_failures: Annotated[
        int, Meta(description="So many checks in a row out of time are a failure.", ge=1, le=1_000)
    ] = Resource.check_failures
    local_recovery: Annotated[bool, Meta(description="Try to repair it in place before a failover.")] = (
        Resource.local_recovery
    )
    max_recoveries: Annotated[
        int,
        Meta(
            description="More local recoveries than this within `recovery_window` are a failover.",
            ge=0,
            le=1_000,
        ),
    ] = Resource.max_recoveries
    recovery_window_ms: Annotated[
        int, Meta(description="The time that `max_recoveries` is counted over.", ge=1_000, le=30 * DAY_MS)
    ] = Resource.recovery_window_ms
    failover: Annotated[
        bool, Meta(description="Move the hierarchy when a failure can't be repaired in place.")
    ] = Resource.failover
    limits: Annotated[LimitsTable, Meta(description="How long each action may take.")] = LimitsTable()

    def core_limits(self) -> Limits:
        """The same in the core's words."""
        return Limits(
            restore_ms=self.limits.restore_ms,
            remove_ms=self.limits.remove_ms,
            check_ms=self.limits.quick_check_ms,
            recover_ms=self.limits.recover_ms,
        )
