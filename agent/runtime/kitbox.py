"""Makes the kits of a configuration, with the tools they share on this node."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.aws.errors import AwsError
from agent.aws.session import AwsSession
from agent.config.model import AwsSetup, Config
from agent.core.ids import NodeId, Tag
from agent.runtime.process import Runner
from recovery_kits.contract import Kit, Tools
from recovery_kits.registry import kits

_log = logging.getLogger(__name__)


class KitBox:
    """One AWS session, one runner of commands, and the kits that use them."""

    def __init__(
        self, me: NodeId, aws: AwsSetup, runtime_dir: Path, log_line: Callable[[str, str], None]
    ) -> None:
        self._me, self._log_line = me, log_line
        self._run = Runner(runtime_dir / "output")
        self._aws_setup, self._aws = aws, _session(aws)
        self._kinds = kits()
        self._needs_aws = False

    def make(self, config: Config) -> Mapping[Tag, Kit[Any]]:
        """A kit for each resource that may run on this node."""
        if config.aws != self._aws_setup:
            self._aws.close()
            self._aws_setup, self._aws = config.aws, _session(config.aws)
        made = dict[Tag, Kit[Any]]()
        for tag, setup in config.resources.items():
            if self._me in setup.parameters:
                made[tag] = self._kinds[setup.kit](setup.parameters[self._me], self._tools(tag))
        self._needs_aws = any(kit.uses_aws for kit in made.values())
        return made

    async def warm_up(self) -> None:
        """Load the AWS client before it is urgent, if a kit will want it."""
        if not self._needs_aws:
            return
        try:
            await self._aws.warm_up()
        except AwsError as error:
            _log.warning("AWS can't be used yet: %s", error)

    def close(self) -> None:
        """Let threads go."""
        self._aws.close()

    def _tools(self, tag: Tag) -> Tools:
        def log(line: str) -> None:
            self._log_line(tag, line)

        return Tools(tag=tag, node=self._me, run=self._run, aws=self._aws, log=log)


def _session(aws: AwsSetup) -> AwsSession:
    return AwsSession(
        aws.region, connect_timeout_ms=aws.connect_timeout_ms, read_timeout_ms=aws.read_timeout_ms
    )
