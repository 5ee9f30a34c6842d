"""What this node would stumble over: each part is looked at, side by side and bounded in time.

Nothing is changed, but for a record of its own in which the arbiter is tried.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from agent.api.reports import FindingView
from agent.arbiters.opening import open_arbiter
from agent.aws import AwsSession
from agent.comm import keys
from agent.comm.sockets import is_local
from agent.config.hostports import HostPort
from agent.config.model import Config
from agent.core.ids import NodeId
from agent.fencing import watchdog
from agent.fencing.opening import open_fence
from agent.notify import findings as notices
from agent.runtime.kitbox import KitBox
from agent.runtime.outside import PROBE_LIMIT_S, reaches
from recovery_kits.contract import Finding, KitError, Unanswered

WITHIN_S = 20.0  # each part

Look = tuple[str, Callable[[], Awaitable[list[Finding]]]]  # whose findings they are, and how they are found


async def look(config: Config, node: NodeId) -> list[FindingView]:
    """Everything that would go wrong on `node`, which is this machine."""
    found = list(_start(config, node))
    with ExitStack() as stack:
        looks = [
            *_kits(config, node, stack),
            *_arbiter(config, stack),
            *_fences(config, node, stack),
            *_watchdog(config),
            *_outside(config),
            *_notices(config),
        ]
        for findings in await asyncio.gather(*map(_bounded, looks)):
            found += findings
    return found


async def _bounded(look: Look) -> list[FindingView]:
    tag, find = look
    try:
        async with asyncio.timeout(WITHIN_S):
            findings = await find()
    except KitError as exc:
        certain = not isinstance(exc, Unanswered)
        findings = [Finding(exc.reason, "mend that, then check again", certain=certain)]
    except TimeoutError:
        problem = f"could not be looked at within {WITHIN_S:g} s"
        findings = [Finding(problem, "see what hangs, then check again", certain=False)]
    return [
        FindingView(tag=tag, problem=each.problem, remedy=each.remedy, certain=each.certain)
        for each in findings
    ]


def _start(config: Config, node: NodeId) -> Iterator[FindingView]:
    """What would keep the agent itself from starting, or from being heard, here."""
    try:
        keys.load(config.key_file)
    except keys.KeyFileError as exc:
        remedy = "kage keygen on one node, a copy on the others; check as the user that the agent runs as"
        yield FindingView(tag="cluster.key_file", problem=str(exc), remedy=remedy)
    for path in config.paths:
        address = path.addresses[node]
        if not is_local(address):
            yield FindingView(
                tag=f"comm_path.{path.name}.{node}",
                problem=f"this machine doesn't have the address {address}",
                remedy=f"correct it, or add it to a device; is this machine {node}?",
            )


def _kits(config: Config, node: NodeId, stack: ExitStack) -> list[Look]:
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="kage-check-"))
    box = stack.enter_context(closing(KitBox(node, config, Path(directory), lambda _tag, _line: None)))
    return [(tag, kit.validate) for tag, kit in box.make(config).items()]


def _arbiter(config: Config, stack: ExitStack) -> list[Look]:
    if config.arbiter is None:
        return []
    arbiter = open_arbiter(
        config.arbiter,
        config.cluster.name,
        region=config.aws.region,
        dead_after_ms=config.cluster.heartbeat.dead_after_ms,
    )
    stack.callback(arbiter.close)
    return [("arbiter", arbiter.validate)]


def _fences(config: Config, node: NodeId, stack: ExitStack) -> list[Look]:
    if not config.fencing_levels:
        return []
    aws = config.aws
    session = AwsSession(
        aws.region, connect_timeout_ms=aws.connect_timeout_ms, read_timeout_ms=aws.read_timeout_ms
    )
    stack.callback(session.close)
    return [
        (f"fencing {level.name}", open_fence(level, node, session.ec2).findings)
        for level in config.fencing_levels
    ]


def _watchdog(config: Config) -> list[Look]:
    setup, cluster = config.watchdog, config.cluster
    if setup is None:
        return []

    async def find() -> list[Finding]:
        return watchdog.findings(setup, cluster.heartbeat.dead_after_ms, cluster.margin_ms)

    return [("watchdog", find)]


def _outside(config: Config) -> list[Look]:
    async def find() -> list[Finding]:
        answers = await asyncio.gather(*map(reaches, config.isolation_check))
        return [
            _unreached(each) for each, yes in zip(config.isolation_check, answers, strict=True) if not yes
        ]

    return [("isolation_check", find)]


def _notices(config: Config) -> list[Look]:
    return [(f"notify {setup.name}", partial(notices.findings, setup)) for setup in config.notify]


def _unreached(target: HostPort) -> Finding:
    return Finding(
        f"no connection to {target} comes about within {PROBE_LIMIT_S:g} s",
        "correct it, or open the way there: a node that reaches fewer than half takes nothing over",
    )
