"""Two real agents: what a switchover and a crash of an agent do to the applications, and what they don't."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.api.reports import StatusReport
from tests.runtime.loopback import AgentProcess, Loopback, is_alive, loopback
from tests.runtime.waiting import wait_until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Loopback]:
    with loopback(tmp_path) as made:
        yield made


def standing(agent: AgentProcess, node: str) -> str:
    status = agent.status()
    assert isinstance(status, StatusReport)
    return next(each.standing for each in status.nodes if each.name == node)


def is_eligible(agent: AgentProcess, node: str) -> bool:
    app = agent.app()
    return app is not None and app.nodes[node].eligible


def test_a_switchover_goes_down_in_order_and_up_in_order_and_back(cluster: Loopback) -> None:
    a, b = cluster.start_both()
    assert cluster.calls("quick-check") == ["a restore db", "a restore web"]
    old = cluster.daemon("a")
    for answering in (a, b):  # either may be asked
        (cluster.home / "calls").write_text("")
        here, there = ("a", "b") if answering is a else ("b", "a")
        wait_until(partial(is_eligible, answering, there))
        answer = answering.api.bring_in_service("app", there)
        assert answer.accepted, answer.text
        wait_until(partial(answering.sees, there, "ISP", "ISP"))
        wait_until(partial(answering.sees, here, "OSU", "OSU"))
        assert cluster.calls("quick-check") == [
            f"{here} remove web",
            f"{here} remove db",
            f"{there} restore db",
            f"{there} restore web",
        ]
    assert not is_alive(old)
    assert is_alive(cluster.daemon("a"))


def test_the_standby_may_be_asked_to_hand_a_command_on(cluster: Loopback) -> None:
    _, b = cluster.start_both()
    wait_until(partial(is_eligible, b, "b"))
    answer = b.api.take_out_of_service("app")
    assert (answer.accepted, answer.text) == (True, "taking app out of service on a")
    wait_until(partial(b.sees, "a", "OSU", "OSU"))
    app = b.app()
    assert app is not None
    assert app.held
    assert b.api.bring_in_service("app").accepted
    wait_until(lambda: b.sees("a", "ISP", "ISP") or b.sees("b", "ISP", "ISP"))


def test_a_killed_agent_that_is_back_in_time_touches_nothing_and_loses_nothing(cluster: Loopback) -> None:
    cluster.configure({'dead_after = "2s"': 'dead_after = "8s"'})  # for a starved machine
    a, b = cluster.start_both()
    daemon = cluster.daemon("a")
    (cluster.home / "calls").write_text("")
    a.kill()
    a = cluster.start("a")
    wait_until(lambda: standing(b, "a") == "alive" and a.sees("a", "ISP", "ISP"))
    wait_until(lambda: a.events("adopted"))
    wait_until(partial(b.sees, "a", "ISP", "ISP"))
    assert cluster.calls("quick-check") == []
    assert cluster.daemon("a") == daemon
    assert is_alive(daemon)
    app = b.app()
    assert app is not None
    assert (app.owner, app.term) == ("a", 1)
    assert not b.events("path-down")
    assert not b.events("ownership-sought")


def test_an_agent_that_stays_dead_is_a_failover_and_its_return_changes_nothing(cluster: Loopback) -> None:
    a, b = cluster.start_both()
    wait_until(partial(is_eligible, b, "b"))
    daemon = cluster.daemon("a")
    a.kill()
    os.kill(daemon, signal.SIGKILL)  # the whole machine, as far as b can tell
    wait_until(partial(b.sees, "b", "ISP", "ISP"))
    (cluster.home / "calls").write_text("")
    a = cluster.start("a")
    wait_until(partial(a.sees, "b", "ISP", "ISP"))
    wait_until(partial(a.sees, "a", "OSU", "OSU"))
    assert not [call for call in cluster.calls("quick-check") if "restore" in call]


def test_an_agent_that_ends_in_good_order_is_never_failed_over(cluster: Loopback) -> None:
    a, b = cluster.start_both()
    daemon = cluster.daemon("a")
    (cluster.home / "calls").write_text("")
    assert a.end() == 0
    wait_until(lambda: standing(b, "a") == "left")
    until = time.monotonic() + 2.5  # longer than dead_after: than any silence would be borne
    while time.monotonic() < until:
        assert b.sees("b", "OSU", "OSU")
    assert is_alive(daemon)
    a = cluster.start("a")
    wait_until(partial(b.sees, "a", "ISP", "ISP"))
    assert cluster.calls("quick-check") == []


def test_an_application_that_is_gone_is_repaired_in_place(cluster: Loopback) -> None:
    a, b = cluster.start_both()
    old = cluster.daemon("a")
    (cluster.home / "calls").write_text("")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: a.events("resource-recovered"))
    wait_until(partial(b.sees, "a", "ISP", "ISP"))
    assert cluster.daemon("a") != old
    assert is_alive(cluster.daemon("a"))
    assert cluster.calls("quick-check") == ["a recover db"]


def test_a_suspended_agent_blames_nobody(cluster: Loopback) -> None:
    a, b = cluster.start_both()
    b.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: standing(a, "b") == "lost")
    b.process.send_signal(signal.SIGCONT)
    wait_until(lambda: b.events("paused"))
    wait_until(lambda: standing(a, "b") == "alive")
    assert not b.events("peer-lost")
    assert not b.events("ownership-sought")
    assert a.sees("a", "ISP", "ISP")
