"""Makes the kits of a configuration, with the tools they share on this node."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.aws.errors import AwsError
from agent.aws.session import AwsSession
from agent.config.model import Config
from agent.core.ids import FOREVER, HierarchyId, NodeId, Tag
from agent.core.model import Hierarchy
from agent.core.states import Quorum
from agent.runtime.apart import Apart
from agent.runtime.process import Runner
from recovery_kits.contract import NOT_REPLICATED, Kit, Replicas, Site, Tools
from recovery_kits.registry import kits

WARM_UP_PAUSES_S = (2.0, 5.0, 10.0, 30.0)  # after each failure in a row; the last one stays

_log = logging.getLogger(__name__)


class KitBroken(Exception):
    """A kit refused, or failed, to be made for a resource."""


@dataclass(frozen=True)
class HierarchyAuthority:
    """This node's authority over one hierarchy, as its kits ask for it."""

    hierarchy: HierarchyId
    time_left_ms: Callable[[HierarchyId], int]

    def ms_left(self) -> int:
        """For how long this node may still act; 0 or less: not any more."""
        return self.time_left_ms(self.hierarchy)


def none_replicated(_hierarchy: HierarchyId, _tag: Tag) -> Replicas:
    """The copies where no agent runs: nothing can be agreed."""
    return NOT_REPLICATED


def no_secrets(_purpose: str) -> tuple[bytes, ...]:
    """Where no agent runs there is no cluster key."""
    return ()


def always(_hierarchy: HierarchyId) -> int:
    """The time left where no authority is asked for: it never runs out."""
    return FOREVER


class KitBox:
    """One AWS session, one runner of commands, and the kits that use them.

    `time_left_ms` says for how many milliseconds this node may still act for a hierarchy; it is asked in
    the AWS session's threads, whatever the event loop is doing.
    """

    def __init__(
        self,
        me: NodeId,
        config: Config,
        runtime_dir: Path,
        log_line: Callable[[str, str], None],
        time_left_ms: Callable[[HierarchyId], int] = always,
        replicas_of: Callable[[HierarchyId, Tag], Replicas] = none_replicated,
        state_dir: Path = Path("/var/lib/kagemusha"),
        secrets: Callable[[str], tuple[bytes, ...]] = no_secrets,
    ) -> None:
        self._me, self._log_line, self._time_left_ms = me, log_line, time_left_ms
        self._replicas_of, self._state_dir, self._runtime_dir = replicas_of, state_dir, runtime_dir
        self._secrets = secrets
        self._run = Runner(runtime_dir / "output", apart=Apart.from_environment())
        self._aws = AwsSession(
            config.aws.region,
            connect_timeout_ms=connect_timeout_ms(config),
            read_timeout_ms=config.aws.read_timeout_ms,
            name=f"{config.cluster.name}.{me}",
        )
        self._kinds = kits()
        self.made: Mapping[Tag, Kit[Any]] = {}
        self._new = asyncio.Event()  # `made` has kits that nothing was loaded for

    def make(self, config: Config) -> Mapping[Tag, Kit[Any]]:
        """A kit for each resource that may run on this node, also in `made`.

        Raises KitBroken; then everything is as before.
        """
        self.made = {
            resource.tag: self._make_one(config, hierarchy, resource.tag)
            for hierarchy in config.cluster.hierarchies
            for resource in hierarchy.resources
            if self._me in config.resources[resource.tag].parameters
        }
        self._new.set()
        return self.made

    async def keep_warm(self) -> None:
        """`warm_up` now and after each configuration that comes into force, until cancelled."""
        while True:
            await self._new.wait()
            self._new.clear()
            await self.warm_up()

    async def warm_up(self) -> None:
        """Load the AWS clients that the kits will want before they are urgent; tried until that is done.

        AWS may be away when the agent starts, and back long before a failover.
        """
        for tries in itertools.count():
            services = sorted({service for kit in self.made.values() for service in kit.aws_services})
            if not services:
                return
            try:
                await self._aws.warm_up(services)
            except AwsError as error:
                log = _log.info if tries else _log.warning
                log("AWS can't be used yet: %s", error)
            else:
                return
            await asyncio.sleep(WARM_UP_PAUSES_S[min(tries, len(WARM_UP_PAUSES_S) - 1)])

    def close(self) -> None:
        """Let threads go."""
        self._aws.close()

    def _make_one(self, config: Config, hierarchy: Hierarchy, tag: Tag) -> Kit[Any]:
        setup = config.resources[tag]

        def log(line: str) -> None:
            self._log_line(setup.tag, line)

        tools = Tools(
            tag=tag,
            node=self._me,
            run=self._run,
            aws=self._aws,
            authority=HierarchyAuthority(hierarchy.name, self._time_left_ms),
            replicas=self._replicas_of(hierarchy.name, tag),
            site=self._site(config, hierarchy),
            secrets=self._secrets,
            log=log,
        )
        try:
            return self._kinds[setup.kit](setup.parameters[self._me], tools)
        except Exception as error:  # somebody else's code runs here: anything may come out
            why = f"{type(error).__name__}: {error}"
            raise KitBroken(f"{setup.tag}: the kit {setup.kit} can't be made: {why}") from error

    def _site(self, config: Config, hierarchy: Hierarchy) -> Site:
        paths = sorted(config.paths, key=lambda path: path.priority)
        return Site(
            cluster=config.cluster.name,
            nodes={node: tuple(str(path.addresses[node]) for path in paths) for node in hierarchy.nodes},
            dead_after_ms=config.cluster.heartbeat.dead_after_ms,
            state_dir=self._state_dir / "kits",
            runtime_dir=self._runtime_dir / "kits",
        )


def connect_timeout_ms(config: Config) -> int:
    """As configured, but so short that a grant outlives a connection that comes to nothing.

    Half of it is left for another try, on a network that lost the first.
    """
    if config.cluster.quorum is Quorum.NONE:
        return config.aws.connect_timeout_ms
    return min(config.aws.connect_timeout_ms, config.cluster.heartbeat.dead_after_ms // 2)
