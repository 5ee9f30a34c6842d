"""What is decided from what this machine tells, and from the configuration's time limits alone."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from agent.doctor import host, limits
from agent.doctor.contract import Outcome, Untold
from agent.doctor.host import File, Host, read_host
from tests.doctor.clouds import ROUTE, config, problems

WATCHDOG = "[watchdog]\n"
GOOD = Host(
    synchronised=True,
    configuration={
        "/etc/kagemusha/cluster.toml": File(owner=0, mode=0o100644),
        "/": File(owner=0, mode=0o40755),
    },
    last_means={"/proc/sysrq-trigger": True},
    watchdogs={"watchdog0": "Software Watchdog"},
    boot_modules=frozenset({"softdog"}),
    systemd_watchdog="",
    in_container=False,
)


def found(changed: Host) -> list[tuple[Outcome, str]]:
    configured = config(tables=WATCHDOG)
    verdicts = [
        *host.clock(changed),
        *host.configuration_file(changed),
        *host.last_means(changed),
        *host.watchdog(configured, changed),
    ]
    assert all(each.remedy for each in problems(verdicts))
    return [(each.outcome, each.text) for each in problems(verdicts)]


def test_a_machine_where_all_is_well() -> None:
    assert found(GOOD) == []
    assert list(host.watchdog(config(), replace(GOOD, watchdogs={}))) == []  # none is wanted


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (replace(GOOD, synchronised=False), "nothing keeps this machine's clock right"),
        (
            replace(GOOD, configuration={"/etc/c.toml": File(owner=0, mode=0o100664)}),
            "/etc/c.toml can be changed by others than root",
        ),
        (
            replace(GOOD, configuration={"/etc/c.toml": File(owner=4711, mode=0o100600)}),
            "/etc/c.toml can be changed by others than root",
        ),
        (
            replace(GOOD, last_means={"/proc/sysrq-trigger": False}),
            "/proc/sysrq-trigger can't be used: this node couldn't make itself harmless",
        ),
        (
            replace(GOOD, boot_modules=frozenset()),
            "watchdog0 is softdog's, which isn't loaded at the next boot",
        ),
        (replace(GOOD, systemd_watchdog="30s"), "systemd takes watchdog0: RuntimeWatchdogSec=30s"),
    ],
)
def test_what_is_amiss_is_named(changed: Host, text: str) -> None:
    assert found(changed) == [(Outcome.PROBLEM, text)]


def test_what_cannot_be_told_is_unknown() -> None:
    ((outcome, text),) = found(replace(GOOD, watchdogs={}))
    assert (outcome, text) == (Outcome.UNKNOWN, "/sys/class/watchdog doesn't tell of watchdog0")
    with pytest.raises(Untold):
        list(host.clock(replace(GOOD, synchronised=Untold("adjtimex: Operation not permitted"))))


def test_a_sticky_folder_lets_nobody_replace_what_is_anothers() -> None:
    assert File(owner=0, mode=0o41777).safe
    assert not File(owner=0, mode=0o40777).safe


def test_this_machine_is_read_without_a_trace(tmp_path: Path) -> None:
    source = tmp_path / "cluster.toml"
    source.touch(mode=0o600)
    read = read_host(replace(config(), source=source))
    assert isinstance(read.configuration, dict)
    assert read.configuration[str(source.resolve())] == File(owner=os.geteuid(), mode=0o100600)
    assert list(read.last_means) == ["/proc/sysrq-trigger"]
    gone = read_host(replace(config(), source=tmp_path / "gone.toml"))
    assert isinstance(gone.configuration, Untold)


def test_limits_that_add_up() -> None:
    verdicts = [
        *limits.aws_limits(config()),
        *limits.recovery_windows(config()),
        *limits.cold_starts(config()),
    ]
    assert [each.outcome for each in verdicts] == [Outcome.OK] * 3


def test_a_check_must_have_time_for_an_answer_of_aws() -> None:
    (bad,) = limits.aws_limits(config(ROUTE + 'limits.quick_check = "3s"\n'))
    assert bad.text == (
        "it: quick_check may take 3s, and its calls to AWS 3500ms: while AWS is away it fails, where it "
        "should be unknown"
    )


def test_a_restore_must_have_time_for_its_tries_and_for_what_it_waits_for() -> None:
    (bad,) = limits.aws_limits(config(ROUTE + 'limits.restore = "20s"\n'))
    assert bad.text.startswith("it: restore may take 20s, and its calls to AWS 21s")
    volume = 'kit = "ebs"\nvolume = "vol-0123456789abcdef0"\nwait = "1min"\n'
    (bad,) = limits.aws_limits(config(volume + 'limits.restore = "80s"\n'))
    assert bad.text.startswith("it: restore may take 80s, and its calls to AWS 81s")
    assert problems(limits.aws_limits(config(volume + 'limits.restore = "82s"\n'))) == []


def test_failures_that_never_add_up_to_a_failover_are_found() -> None:
    resource = ROUTE + 'check_interval = "30s"\nmax_recoveries = 3\nrecovery_window = "1min"\n'
    (bad,) = limits.recovery_windows(config(resource))
    assert bad.outcome is Outcome.PROBLEM
    assert bad.text.endswith("longer than recovery_window (1min): they never become a failover")
    assert problems(limits.recovery_windows(config(resource + "local_recovery = false\n"))) == []


def test_without_a_quorum_a_start_waits_for_the_others() -> None:
    (bad,) = limits.cold_starts(config(settings='quorum = "none"\nstartup_grace = "1s"'))
    assert bad.outcome is Outcome.PROBLEM
    assert bad.remedy.startswith('write startup_grace = "2s"')
