"""What a right file says of votes, fencing and watchdog, and what is noted of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.arbiter import S3Parameters
from agent.config.fencing import AgentLevel, ClusterLabsTarget, Ec2Level, Ec2Target
from agent.config.hostports import HostPort, parse_host_port
from agent.config.model import SelfFence
from agent.config.watchdogs import WatchdogSetup
from agent.core.ids import NodeId
from agent.core.model import Confirmation
from agent.core.states import Fencing, OnAuthorityLost, Quorum
from tests.config.test_good_files import DB1, DB2, parsed, resource

ARBITER = '\n[arbiter]\nkind = "dynamodb"\ntable = "kagemusha"\n'
WATCHDOG = "\n[watchdog]\n"
W1 = NodeId("w-01")
THIRD_NODE = (
    ('db-02 = "10.0.6.4"\n', 'db-02 = "10.0.6.4"\nw-01 = "10.0.7.4"\n'),
    ('db-02 = "10.0.14.4"\n', 'db-02 = "10.0.14.4"\nw-01 = "10.0.15.4"\n'),
)
STOP_INSTANCE = """
[fencing.level.stop]
priority = 2
kind = "ec2"
limit = "30s"
node.db-01.instance = "i-0123456789abcdef0"
node.db-02.instance = "i-0123456789abcdef1"
node.db-02.action = "reboot"
"""
POWER = """
[fencing.level.power]
priority = 1
kind = "agent"
tries = 3
agent = "fence_apc"
secrets = ["password=/etc/kagemusha/apc.password"]
node.db-01.options = ["plug=1"]
node.db-02.options = ["plug=2"]
"""


def settings(*lines: str) -> tuple[str, str]:
    """Put more keys into [cluster]."""
    return ('name = "shop"', "\n".join(('name = "shop"', *lines)))


def without_arbiter(*lines: str) -> tuple[str, str]:
    """Put more keys into [cluster], which comes just before [arbiter]."""
    return (ARBITER, "".join(f"{line}\n" for line in lines))


def test_a_witness_votes_and_runs_nothing() -> None:
    cluster = parsed(*THIRD_NODE, without_arbiter('witnesses = ["w-01"]')).cluster
    assert (cluster.nodes, cluster.witnesses) == ((DB1, DB2, W1), (W1,))
    assert (cluster.voters, cluster.arbiter) == (3, False)
    assert cluster.hierarchies[0].nodes == (DB1, DB2)


def test_an_arbiter_may_be_a_bucket() -> None:
    config = parsed((ARBITER, '\n[arbiter]\nkind = "s3"\nbucket = "votes"\nregion = "eu-west-1"\n'))
    assert config.arbiter == S3Parameters(bucket="votes", region="eu-west-1")
    assert config.cluster.arbiter


def test_losing_authority_has_its_ways() -> None:
    power_off = parsed(settings('on_authority_lost = "poweroff"', 'takeover_margin = "3s"'))
    assert power_off.cluster.on_authority_lost is OnAuthorityLost.POWEROFF
    assert power_off.cluster.margin_ms == 3_000
    assert power_off.self_fence == SelfFence(on_authority_lost=OnAuthorityLost.POWEROFF)
    stop = parsed(settings('on_authority_lost = "stop"', 'stop_within = "30s"'))
    assert stop.cluster.on_authority_lost is OnAuthorityLost.STOP
    assert (stop.cluster.stop_within_ms, stop.cluster.margin_ms) == (30_000, 30_100)
    assert stop.self_fence.order == ("reboot",)


def test_an_operator_may_be_asked_first() -> None:
    def asked(default: str) -> Confirmation | None:
        confirm = f'confirm_failover = {{ within = "5min", default = "{default}" }}'
        old = 'nodes = ["db-01", "db-02"]'
        return parsed((old, f"{old}\n{confirm}")).cluster.hierarchies[0].confirm

    assert asked("yes") == Confirmation(within_ms=300_000, default=True)
    assert asked("no") == Confirmation(within_ms=300_000, default=False)
    assert parsed().cluster.hierarchies[0].confirm is None


def test_the_outside_may_be_looked_for() -> None:
    config = parsed(settings('isolation_check = ["10.0.0.1:53", "[fd00::1]:443", "proxy.example.com:3128"]'))
    assert config.isolation_check == (
        HostPort("10.0.0.1", 53),
        HostPort("fd00::1", 443),
        HostPort("proxy.example.com", 3128),
    )
    assert config.cluster.isolation_check
    assert not parsed().cluster.isolation_check


@pytest.mark.parametrize("text", ["10.0.0.1:53", "[fd00::1]:443", "proxy.example.com:3128"])
def test_a_host_and_port_is_told_as_it_was_written(text: str) -> None:
    assert str(parse_host_port(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", ":53", "host:", "host:-1", "host:65536", "a..b:1", "a b:1", "10.1:53", "[10.0.0.1]:53", "[]:1"],
)
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_host_port(text)


def test_fencing_levels_are_by_priority_with_a_target_for_each_node() -> None:
    stop, power = (
        Ec2Level(
            name="stop",
            priority=2,
            tries=2,
            targets={
                DB1: Ec2Target(instance="i-0123456789abcdef0", limit_ms=30_000),
                DB2: Ec2Target(instance="i-0123456789abcdef1", limit_ms=30_000, action="reboot"),
            },
        ),
        AgentLevel(
            name="power",
            priority=1,
            tries=3,
            targets={
                node: ClusterLabsTarget(
                    agent="fence_apc",
                    options=(f"plug={plug}",),
                    secrets=("password=/etc/kagemusha/apc.password",),
                )
                for node, plug in ((DB1, 1), (DB2, 2))
            },
        ),
    )
    assert parsed(append=STOP_INSTANCE + POWER).fencing_levels == (power, stop)


def test_a_node_that_runs_nothing_needs_no_target_and_may_have_one() -> None:
    (level,) = parsed(*THIRD_NODE, append=STOP_INSTANCE).fencing_levels
    assert set(level.targets) == {DB1, DB2}
    third = 'node.w-01.instance = "i-0123456789abcdef2"\n'
    (level,) = parsed(*THIRD_NODE, append=STOP_INSTANCE + third).fencing_levels
    assert set(level.targets) == {DB1, DB2, W1}


@pytest.mark.parametrize(
    ("quorum", "required", "expected"),
    [
        ("majority", "", Fencing.BESIDE),
        ("majority", "required = false", Fencing.BESIDE),
        ("majority", "required = true", Fencing.REQUIRED),
        ("none", "", Fencing.REQUIRED),
        ("none", "required = true", Fencing.REQUIRED),
    ],
)
def test_fencing_is_required_where_no_majority_protects(
    quorum: str, required: str, expected: Fencing
) -> None:
    change = without_arbiter('quorum = "none"') if quorum == "none" else settings()
    config = parsed(change, append=f"\n[fencing]\n{required}\n{STOP_INSTANCE}")
    assert config.cluster.quorum is Quorum(quorum)
    assert config.cluster.fencing is expected


def test_a_watchdog_is_used_where_one_is_named() -> None:
    assert parsed(append=WATCHDOG).watchdog == WatchdogSetup(device=Path("/dev/watchdog"))
    assert parsed(append=f'{WATCHDOG}device = "/dev/watchdog1"\n').watchdog == WatchdogSetup(
        device=Path("/dev/watchdog1")
    )


def test_a_kit_says_whether_others_may_undo_it_late() -> None:
    assert resource(parsed(), "vip").reasserts
    assert not resource(parsed(), "server").reasserts


ONLY_POWER_OFF = settings('on_authority_lost = "poweroff"')
FAST = settings('preset = "fast"')
REQUIRED = f"\n[fencing]\nrequired = true\n{STOP_INSTANCE}"


@pytest.mark.parametrize(
    ("changes", "append", "expected"),
    [
        ([], WATCHDOG, []),
        ([], "", ["no [watchdog]: "]),
        ([], STOP_INSTANCE, ["no [watchdog]: "]),
        ([], REQUIRED, []),
        ([FAST], "", ["watchdogs count whole seconds, and none can reset a node within 400ms: "]),
        ([FAST], WATCHDOG, ["watchdogs count whole seconds, and none can reset a node within 400ms: "]),
        ([FAST], REQUIRED, []),
        ([ONLY_POWER_OFF], WATCHDOG, ['on_authority_lost = "poweroff": ']),
        ([*THIRD_NODE], WATCHDOG, ["4 votes bear the loss of 1, as 3 would: "]),
        ([*THIRD_NODE, without_arbiter()], WATCHDOG, []),
        ([without_arbiter('quorum = "none"')], "", ['quorum = "none": ']),
        ([without_arbiter('quorum = "none"')], STOP_INSTANCE, ['quorum = "none": ']),
    ],
)
def test_what_is_not_wise_is_noted(changes: list[tuple[str, str]], append: str, expected: list[str]) -> None:
    notes = parsed(*changes, append=append).notes
    assert [note[: len(start)] for note, start in zip(notes, expected, strict=True)] == expected


def test_without_quorum_the_note_says_what_a_lost_network_does() -> None:
    alone = without_arbiter('quorum = "none"')
    assert parsed(alone).notes[0].endswith("both may run the same hierarchy.")
    assert parsed(alone, append=STOP_INSTANCE).notes[0].endswith("both may be stopped.")


def test_the_dead_after_that_is_noted_as_enough_is_enough() -> None:
    (note,) = parsed(FAST, append=WATCHDOG).notes
    assert note.endswith('a dead_after of at least "1s".')
    assert parsed(settings('dead_after = "1s"'), append=WATCHDOG).notes == ()


def test_a_stop_that_may_take_longer_than_it_has_is_noted() -> None:
    def notes(within: str, limit: str) -> tuple[str, ...]:
        stop = settings('on_authority_lost = "stop"', f'stop_within = "{within}"')
        limited = ('kit = "address"', f'kit = "address"\nlimits = {{ remove = "{limit}" }}')
        return parsed(stop, limited, append=WATCHDOG).notes

    assert notes("150s", "30s") == ()  # 30 s, and then the 120 s of the script below it
    (note,) = notes("150s", "31s")
    assert note.startswith("app may take 151s to stop by its remove limits, more than stop_within = ")
