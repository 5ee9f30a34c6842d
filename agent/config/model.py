"""The whole configuration, checked: what the core decides by, and what the runtime needs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from agent.config.errors import BadParameter
from agent.core.ids import NodeId, PathId, Tag
from agent.core.model import Cluster

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
        str | None,
        Meta(
            description="The region; else the instance's own, asked of IMDSv2.",
            title="a region",
            pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}\Z",
            examples=["ap-northeast-1"],
        ),
    ] = None
    connect_timeout_ms: Annotated[
        int, Meta(description="How long connecting to an API may take.", ge=100, le=60_000)
    ] = 1_000
    read_timeout_ms: Annotated[
        int, Meta(description="How long an API may take to answer.", ge=100, le=60_000)
    ] = 2_000


@dataclass(frozen=True, kw_only=True)
class SelfFence:
    """[self_fence]: what a node does when it must be harmless at once."""

    command: Annotated[
        tuple[str, ...] | None,
        Meta(description="A program with its arguments (no shell), by absolute path.", min_length=1),
    ] = None
    means: Annotated[
        tuple[SelfFenceMeans, ...] | None,
        Meta(
            description="What is tried, in this order, again and again: `reboot` and `poweroff` go through "
            "/proc/sysrq-trigger, at once. Without it: the command if there is one, else `reboot`.",
            min_length=1,
        ),
    ] = None

    @property
    def order(self) -> tuple[SelfFenceMeans, ...]:
        """The means, the first tried first."""
        return self.means or (("command",) if self.command else ("reboot",))

    def __post_init__(self) -> None:
        if ("command" in self.order) != (self.command is not None):
            raise BadParameter("means", '"command" stands here if, and only if, there is a command')
        if self.command and not self.command[0].startswith("/"):
            raise BadParameter(
                "command",
                f'write the program\'s absolute path such as "/sbin/reboot", not "{self.command[0]}"',
            )


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
    notes: tuple[str, ...] = ()  # what is allowed but not wise, one sentence each
