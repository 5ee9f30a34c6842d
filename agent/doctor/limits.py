"""Time limits that can't add up, beyond what the configuration's own checks refuse: pure."""

from __future__ import annotations

from collections.abc import Iterator

from agent.aws.session import GRACE_S
from agent.config.durations import format_duration
from agent.config.model import Config
from agent.core.model import Resource
from agent.core.states import Quorum
from agent.doctor.contract import Verdict, ok, problem
from recovery_kits.patience import TRIES
from recovery_kits.registry import kits

RESTORE_CALLS = 2 * TRIES  # a change and its reading back, each tried so often
WAITS = ("wait_ms", "in_sync_within_ms")  # what kits call it


def aws_limits(config: Config) -> Iterator[Verdict]:
    """An action may take longer than its calls to AWS: else an outage of AWS looks like its failure."""
    aws = config.aws
    uses = [each for each in _resources(config) if kits()[each.kit].aws_services]
    call_ms = aws.connect_timeout_ms + aws.read_timeout_ms + round(GRACE_S * 1_000)
    good = True
    for resource in uses:
        for action, limit_ms, calls_ms in (
            ("quick_check", resource.limits.check_ms, call_ms),
            ("restore", resource.limits.restore_ms, RESTORE_CALLS * call_ms + _wait_ms(config, resource)),
        ):
            if limit_ms <= calls_ms:
                good = False
                yield problem(
                    f"{resource.tag}: {action} may take {format_duration(limit_ms)}, and its calls to AWS "
                    f"{format_duration(calls_ms)}: while AWS is away it fails, where it should be unknown",
                    f"write a longer {action} limit, or shorter times for AWS ([aws], the resource's own)",
                )
    if uses and good:
        yield ok(f"every action has time for its calls to AWS ({format_duration(call_ms)} each)")


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


def _wait_ms(config: Config, resource: Resource) -> int:
    """How long the resource's own parameters let its restore wait for AWS, where that is longest."""
    each_node = config.resources[resource.tag].parameters.values()
    return max((getattr(each, name, 0) for each in each_node for name in WAITS), default=0)


def _resources(config: Config) -> Iterator[Resource]:
    for hierarchy in config.cluster.hierarchies:
        yield from hierarchy.resources
