"""The whole configuration, checked: what the core decides by, and what the runtime needs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from agent.core.ids import NodeId, PathId, Tag
from agent.core.model import Cluster

Address = IPv4Address | IPv6Address


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
    """How AWS is reached. Credentials come from the instance role (or the environment), never from here."""

    region: str | None = None  # None: from IMDSv2
    connect_timeout_ms: int = 1_000
    read_timeout_ms: int = 2_000


@dataclass(frozen=True, kw_only=True)
class SelfFence:
    """What a node does when it must be harmless at once."""

    command: tuple[str, ...] | None = None  # None: reboot at once through /proc/sysrq-trigger


@dataclass(frozen=True, kw_only=True)
class Config:
    """One checked configuration file."""

    source: Path
    digest: str  # sha256 of the file, the first 12 hex digits
    cluster: Cluster
    key_file: Path
    paths: tuple[PathAddresses, ...]  # by priority
    resources: Mapping[Tag, ResourceSetup]
    aws: AwsSetup
    self_fence: SelfFence
    notes: tuple[str, ...] = ()  # what is allowed but not wise, one sentence each
