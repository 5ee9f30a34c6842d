"""Makes the kits of a configuration, with the tools they share on this node."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.aws.errors import AwsError
from agent.aws.session import AwsSession
from agent.config.model import AwsSetup, Config, ResourceSetup
from agent.core.ids import NodeId, Tag
from agent.runtime.process import Runner
from recovery_kits.contract import Kit, Tools
from recovery_kits.registry import kits

_log = logging.getLogger(__name__)


class KitBroken(Exception):
    """A kit refused, or failed, to be made for a resource."""


class KitBox:
    """One AWS session, one runner of commands, and the kits that use them."""

    def __init__(
        self, me: NodeId, aws: AwsSetup, runtime_dir: Path, log_line: Callable[[str, str], None]
    ) -> None:
        self._me, self._log_line = me, log_line
        self._run = Runner(runtime_dir / "output")
        self._aws = AwsSession(
            aws.region, connect_timeout_ms=aws.connect_timeout_ms, read_timeout_ms=aws.read_timeout_ms
        )
        self._kinds = kits()
        self.made: Mapping[Tag, Kit[Any]] = {}

    def make(self, config: Config) -> Mapping[Tag, Kit[Any]]:
        """A kit for each resource that may run on this node, also in `made`.

        Raises KitBroken; then everything is as before.
        """
        self.made = {
            tag: self._make_one(setup, setup.parameters[self._me])
            for tag, setup in config.resources.items()
            if self._me in setup.parameters
        }
        return self.made

    async def warm_up(self) -> None:
        """Load the AWS client before it is urgent, if a kit will want it."""
        if not any(kit.uses_aws for kit in self.made.values()):
            return
        try:
            await self._aws.warm_up()
        except AwsError as error:
            _log.warning("AWS can't be used yet: %s", error)

    def close(self) -> None:
        """Let threads go."""
        self._aws.close()

    def _make_one(self, setup: ResourceSetup, parameters: Any) -> Kit[Any]:
        def log(line: str) -> None:
            self._log_line(setup.tag, line)

        tools = Tools(tag=setup.tag, node=self._me, run=self._run, aws=self._aws, log=log)
        try:
            return self._kinds[setup.kit](parameters, tools)
        except Exception as error:  # somebody else's code runs here: anything may come out
            why = f"{type(error).__name__}: {error}"
            raise KitBroken(f"{setup.tag}: the kit {setup.kit} can't be made: {why}") from error
