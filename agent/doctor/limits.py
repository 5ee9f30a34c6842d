"""Time limits that can't add up, beyond what the configuration's own checks refuse: pure."""

from __future__ import annotations

from collections.abc import Iterator

from agent.aws.session import GRACE_S
from agent.config.durations import format_duration
from agent.config.model import Config
from agent.core.model import Resource
from agent.core.states import Quorum
from agent.doctor.contract import Verdict, ok, problem
from recovery_kits.registry import kits


def aws_limits(config: Config) -> Iterator[Verdict]:
    """An action may take longer than one call to AWS: else an outage of AWS looks like its failure."""
    aws = config.aws
    uses = [each for each in _resources(config) if kits()[each.kit].aws_services]
    call_ms = aws.connect_timeout_ms + aws.read_timeout_ms + round(GRACE_S * 1_000)
    good = True
    for resource in uses:
        limits = {"quick_check": resource.limits.check_ms, "restore": resource.limits.restore_ms}
        for action, limit_ms in limits.items():
            if limit_ms <= call_ms:
                good = False
                yield problem(
                    f"{resource.tag}: {action} may take {format_duration(limit_ms)}, and one call to AWS "
                    f"{format_duration(call_ms)}: while AWS is away it fails, where it should be unknown",
                    f"write a longer {action} limit, or shorter time-outs in [aws]",
                )
    if uses and good:
        yield ok(f"every action has time for a call to AWS ({format_duration(call_ms)})")


def recovery_windows(config: Config) -> Iterator[Verdict]:
    """As many failures as make a failover can happen within the window that they are counted over."""
    good = True
    for resource in _resources(config):
        needed_ms = resource.max_recoveries * resource.check_interval_ms
        if resource.local_recovery and resource.failover and needed_ms > resource.recovery_window_ms:
            good = False
            window = format_duration(resource.recovery_window_ms)
            yield problem(
                f"{resource.tag}: {resource.max_recoveries + 1} failures take {format_duration(needed_ms)} "
                f"to be seen, longer than recovery_window ({window}): they never become a failover",
                "write a longer recovery_window, a smaller max_recoveries or a shorter check_interval",
            )
    if good:
        yield ok("repeated failures become a failover")


def cold_starts(config: Config) -> Iterator[Verdict]:
    """Without a quorum a node that has just started must have had the time to hear the others."""
    cluster = config.cluster
    if cluster.quorum is not Quorum.NONE:
        return
    needed_ms = cluster.heartbeat.dead_after_ms
    if cluster.startup_grace_ms < needed_ms:
        yield problem(
            f"startup_grace ({format_duration(cluster.startup_grace_ms)}) is shorter than dead_after "
            f"({format_duration(needed_ms)}): a node may start what another runs before it has heard it",
            f'write startup_grace = "{format_duration(needed_ms)}" or longer, or quorum = "majority"',
        )
    else:
        yield ok("a node that starts waits until it would have heard the others")


def _resources(config: Config) -> Iterator[Resource]:
    for hierarchy in config.cluster.hierarchies:
        yield from hierarchy.resources
