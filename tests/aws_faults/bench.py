"""One kit on the node that is to take over, and what becomes of its actions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from recovery_kits.contract import Check, Kit, KitError, Unanswered
from tests.aws_server import AwsServer, Rule
from tests.aws_server.fixtures import KEY
from tests.kits.acting import Agent

LIMIT_MS = 700  # the patience of one call: this process's garbage collector alone may take 0.4 s
ACTION_S = 120.0  # an action that takes longer hangs
READS = ("*:Describe*", "*:Search*", "*:Get*", "route53:GET *")
CHANGES = {
    "ebs": "ec2:*Volume",
    "elastic-ip": "ec2:*Address",
    "eni": "ec2:*NetworkInterface",
    "private-ip": "ec2:Assign*",
    "route": "ec2:*Route",
    "route53": "route53:POST *",
    "target-group": "*:*Targets",
    "transit-gateway-route": "ec2:*TransitGatewayRoute",
}


@dataclass
class Bench:
    """A kit, and the AWS that it calls."""

    agent: Agent
    server: AwsServer
    kit: Kit[Any]

    def meet(self, *rules: Rule) -> None:
        """From here on these go wrong, for the kit's calls alone; none: all is well."""
        for rule in rules:
            rule.key = KEY
        self.server.control.set_faults(*rules)

    def outcome(self, action: str) -> str:
        """OK, FAILED or UNKNOWN: as the agent takes it."""
        return self.agent.runner.run(_outcome(getattr(self.kit, action)()))

    def operations(self) -> list[str]:
        """What the kit called, in order."""
        return [call.operation for call in self.server.control.journal() if call.key == KEY]


async def _outcome(action: Coroutine[Any, Any, Check | None]) -> str:
    try:
        async with asyncio.timeout(ACTION_S):
            answer = await action
    except Unanswered:
        return "UNKNOWN"
    except KitError:
        return "FAILED"
    return answer.health.name if answer else "OK"
