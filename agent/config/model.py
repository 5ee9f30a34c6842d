"""The whole configuration, checked: what the core decides by, and what the runtime needs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from agent.config.arbiter import ArbiterParameters
from agent.config.errors import BadParameter
from agent.config.fencing import FencingLevel
from agent.config.hostports import HostPort
from agent.config.notify import NotifySetup
from agent.config.tables import Region
from agent.config.watchdogs import WatchdogSetup
from agent.core.ids import NodeId, PathId, Tag
from agent.core.model import Cluster
from agent.core.states import OnAuthorityLost

Address = IPv4Address | IPv6Address
SelfFenceMeans = Literal["command", "reboot", "poweroff"]


@dataclass(frozen=True, kw_only=True)
class PathAddresses:
    """Where each node listens on one comm path: UDP heartbeats and TCP messages on the same port number."""

    name: PathId
    priority: int
    port: int
    addresses: Mapping[NodeId, Address]


@dataclass(frozen=True, kw_only=True)
class ResourceSetup:
    """A resource's kit and its parameters on each node that may run it (an instance of Kit.Parameters)."""

    tag: Tag
    kit: str
    parameters: Mapping[NodeId, Any]


@dataclass(frozen=True, kw_only=True)
class AwsSetup:
    """[aws]: how AWS is reached; credentials come from the instance role (or the environment)."""

    region: Annotated[
        Region | None, Meta(description="The region; else the instance's own, asked of IMDSv2.")
    ] = None
    connect_timeout_ms: Annotated[
        int, Meta(description="How long connecting to an API may take.", ge=100, le=60_000)
    ] = 1_000
    read_timeout_ms: Annotated[
        int, Meta(description="How long an API may take to answer.", ge=100, le=60_000)
    ] = 2_000


@dataclass(frozen=True, kw_only=True)
class SelfFenceTable:
    """[self_fence]"""

    command: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="A program with its arguments (no shell), by absolute path, that is run again and "
            "again in place of a reboot or power-off: for containers and tests. Without it they go "
            "through /proc/sysrq-trigger, at once.",
            min_length=1,
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.command and not self.command[0].startswith("/"):
            raise BadParameter(
                "command",
                f'write the program\'s absolute path such as "/sbin/reboot", not "{self.command[0]}"',
            )


@dataclass(frozen=True, kw_only=True)
class SelfFence:
    """What a node does when it must be harmless at once."""

    command: tuple[str, ...] | None = None
    on_authority_lost: OnAuthorityLost = OnAuthorityLost.REBOOT

    @property
    def order(self) -> tuple[SelfFenceMeans, ...]:
        """What is tried, the first first, and round and round."""
        if self.command:
            return ("command",)
        return ("poweroff", "reboot") if self.on_authority_lost is OnAuthorityLost.POWEROFF else ("reboot",)


@dataclass(frozen=True, kw_only=True)
class Config:
    """One checked configuration file."""

    source: Path
    text: str = field(repr=False)
    digest: str  # sha256 of the file, the first 12 hex digits
    cluster: Cluster
    key_file: Path
    paths: tuple[PathAddresses, ...]  # by priority
    resources: Mapping[Tag, ResourceSetup]
    aws: AwsSetup
    self_fence: SelfFence
    arbiter: ArbiterParameters | None = None
    fencing_levels: tuple[FencingLevel, ...] = ()  # the first tried first; `cluster.fencing` says what for
    watchdog: WatchdogSetup | None = None
    isolation_check: tuple[HostPort, ...] = ()
    notify: tuple[NotifySetup, ...] = ()  # in the order of the file
    notes: tuple[str, ...] = ()  # what is allowed but not wise, one sentence each
