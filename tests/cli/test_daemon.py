"""`kage agent` as a process: how it starts, refuses to start, and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.loopback import (
    AS_NOBODY,
    KAGE,
    LIMIT_S,
    NOBODY,
    AgentProcess,
    Loopback,
    give_to_nobody,
    is_alive,
    loopback,
)
from tests.runtime.waiting import wait_until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Loopback]:
    with loopback(tmp_path, grace="0s") as made:
        yield made


def told(agent: AgentProcess) -> str:
    """What a process that can't start says, when it has ended; fails on a traceback."""
    agent.process.wait(LIMIT_S)
    text = agent.log.read_text()
    assert "Traceback" not in text, text
    return text


def refused(agent: AgentProcess) -> str:
    """The one line that it says."""
    text = told(agent)
    assert agent.process.returncode == 2, text
    (line,) = text.splitlines()
    return line


def drain(heard: socket.socket) -> None:
    """Take what came in so far."""
    heard.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.recv(100)


def running(cluster: Loopback, node: str = "a", **environment: str) -> AgentProcess:
    agent = cluster.start(node, **environment)
    wait_until(lambda: agent.sees(node, "ISP", "ISP"))
    return agent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order_and_applications_go_on(
    cluster: Loopback, number: signal.Signals
) -> None:
    agent = running(cluster)
    daemon = cluster.daemon("a")
    agent.process.send_signal(number)
    assert agent.process.wait(10) == 0
    assert is_alive(daemon)
    assert not cluster.calls("quick-check", "restore")
    assert not (agent.runtime / "agent.sock").exists()
    again = running(cluster)
    assert again.events("adopted")
    assert cluster.daemon("a") == daemon


def test_it_ends_in_time_while_a_script_hangs(cluster: Loopback) -> None:
    (cluster.home / "a.web.restore.hangs").touch()
    agent = cluster.start("a")
    wait_until(lambda: agent.status() is not None and "a restore web" in cluster.calls("quick-check"))
    agent.process.terminate()
    assert agent.process.wait(10) == 0


STUBBORN = """
import asyncio, sys
from agent.cli.main import main
from recovery_kits.generic import GenericKit

async def stubborn(kit):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

GenericKit.restore = stubborn
sys.exit(main(sys.argv[1:]))
"""


def test_it_ends_in_time_whatever_a_kit_does(cluster: Loopback) -> None:
    agent = cluster.start("a", program=(sys.executable, "-c", STUBBORN))
    wait_until(lambda: "ownership-taken" in agent.log.read_text())
    agent.process.terminate()
    assert agent.process.wait(12) in {0, 1}


def test_a_signal_while_it_starts_ends_it_too(cluster: Loopback) -> None:
    agent = cluster.start("a")
    wait_until(lambda: (agent.state / "state.db").exists() or agent.process.poll() is not None)
    assert agent.end() in {0, -signal.SIGTERM}


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ("node", "no node is called 'c' (there are: a, b); name this machine so, or say which one it is"),
        ("no config", "/cluster.toml: isn't there: write it, or name another one"),
        ("no key", "/key: "),
        ("open key", "/key: has mode 0644; run `chmod 0400 "),
        ("bad key", "/key: key 1 is not 64 hex digits"),
        ("state dir is a file", "/a/state: "),
        ("runtime dir is a file", "/a/run: "),
        ("damaged store", "/a/state/state.db is damaged"),
        ("port in use", "127.91.1.1 port "),
    ],
)  # fmt: skip
def test_what_keeps_it_from_starting_is_one_clear_line(cluster: Loopback, harm: str, why: str) -> None:
    home, node = cluster.home, "a"
    (home / "a").mkdir()
    port = int(str(cluster.settings["port"]))
    with socket.socket() as other:
        match harm:
            case "node":
                node = "c"
            case "no config":
                (home / "cluster.toml").unlink()
            case "no key":
                (home / "key").unlink()
            case "open key":
                (home / "key").chmod(0o644)
            case "bad key":
                (home / "key").chmod(0o600)
                (home / "key").write_text("secret\n")
            case "state dir is a file":
                (home / "a" / "state").touch()
            case "runtime dir is a file":
                (home / "a" / "run").touch()
            case "damaged store":
                (home / "a" / "state").mkdir()
                (home / "a" / "state" / "state.db").write_bytes(b"nonsense" * 1_000)
            case "port in use":
                other.bind(("127.91.1.1", port))
                other.listen()
        line = refused(cluster.start(node))
    assert why in line
    assert "secret" not in line


def test_all_that_is_wrong_with_a_configuration_is_told_at_once(cluster: Loopback) -> None:
    cluster.configure(
        {'name = "loopback"': 'nane = "loopback"', 'depends_on = ["db"]': 'depends_on = ["dc"]'}
    )
    agent = cluster.start("a")
    lines = told(agent).splitlines()
    assert agent.process.returncode == 2
    assert len(lines) == 3
    assert all(line.startswith(f"{cluster.home}/cluster.toml:") for line in lines)


def test_a_second_agent_is_refused_and_the_first_goes_on(cluster: Loopback) -> None:
    first = running(cluster)
    line = refused(cluster.start("a"))
    assert f"{first.state} is in use by another agent" in line
    assert first.sees("a", "ISP", "ISP")


def test_a_second_agent_with_its_own_state_does_not_take_the_socket(cluster: Loopback) -> None:
    """Not even while the first has made its socket and doesn't listen yet."""
    first = running(cluster)
    line = refused(cluster.start("a", "--state-dir", f"{cluster.home}/other"))
    assert f"{first.runtime} is in use by another agent" in line
    assert first.sees("a", "ISP", "ISP")


def test_a_killed_agents_directories_are_free_at_once(cluster: Loopback) -> None:
    first = running(cluster)
    first.kill()
    assert (first.runtime / "agent.sock").exists()
    running(cluster)


def test_sighup_takes_a_change_over_and_refuses_a_wrong_one(cluster: Loopback) -> None:
    agent = running(cluster)
    before = agent.api.config()
    cluster.configure({'name = "loopback"': 'name = ""'})
    agent.process.send_signal(signal.SIGHUP)
    wait_until(lambda: agent.events("config-refused"))
    assert agent.api.config() == before
    cluster.configure({'check_interval = "200ms"': 'check_interval = "300ms"'})
    agent.process.send_signal(signal.SIGHUP)
    wait_until(lambda: agent.events("config-loaded"))
    assert '"300ms"' in agent.api.config().text
    assert agent.api.config().digest != before.digest


def test_systemd_hears_when_it_is_ready_alive_and_ending(cluster: Loopback) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(cluster.home / "notify"))
        heard.settimeout(LIMIT_S)
        agent = cluster.start("a", NOTIFY_SOCKET=str(cluster.home / "notify"), WATCHDOG_USEC="300000")
        assert heard.recv(100) == b"READY=1"
        assert agent.log.read_text().count("Traceback") == 0
        assert [heard.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        agent.process.send_signal(signal.SIGSTOP)
        drain(heard)
        heard.settimeout(0.5)  # more than a limit and a half
        with pytest.raises(TimeoutError):
            heard.recv(100)
        agent.process.send_signal(signal.SIGCONT)
        heard.settimeout(LIMIT_S)
        assert heard.recv(100) == b"WATCHDOG=1"
        agent.process.terminate()
        last = b""
        while last != b"STOPPING=1":
            last = heard.recv(100)
        assert agent.process.wait(LIMIT_S) == 0


def test_an_agent_that_cannot_start_is_never_ready(cluster: Loopback) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard, socket.socket() as other:
        heard.bind(str(cluster.home / "notify"))
        heard.setblocking(False)
        other.bind(("127.91.1.1", int(str(cluster.settings["port"]))))
        other.listen()
        refused(cluster.start("a", NOTIFY_SOCKET=str(cluster.home / "notify")))
        with pytest.raises(BlockingIOError):
            heard.recv(100)


BROKEN = """
import sys
from agent.cli.main import main
from agent.core.node import Node

step = Node.step

def break_in_service(node, event):
    effects = step(node, event)
    assert not any(machine.all_active for machine in node.mind.machines.values()), "our own mistake"
    return effects

Node.step = break_in_service
sys.exit(main(sys.argv[1:]))
"""


def test_a_defect_ends_it_with_1_and_its_traceback_and_applications_go_on(cluster: Loopback) -> None:
    agent = cluster.start("a", program=(sys.executable, "-c", BROKEN))
    assert agent.process.wait(LIMIT_S) == 1
    log = agent.log.read_text()
    assert "the agent ends: our own mistake" in log
    assert log.count("Traceback") == 1
    assert is_alive(cluster.daemon("a"))
    assert not (agent.runtime / "agent.sock").exists()


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")


@as_root
def test_it_runs_as_a_user_of_its_own(cluster: Loopback) -> None:
    give_to_nobody(cluster.home)
    agent = cluster.start("a", program=(*AS_NOBODY, *KAGE))
    wait_until(lambda: agent.sees("a", "ISP", "ISP"))
    assert agent.state.stat().st_uid == NOBODY
    assert agent.end() == 0


@as_root
@pytest.mark.parametrize("which", ["state", "run"])
def test_a_directory_that_it_may_not_write_is_told(cluster: Loopback, which: str) -> None:
    give_to_nobody(cluster.home)
    (cluster.home / "a").mkdir(mode=0o755)
    for name in {"state", "run"} - {which}:
        (cluster.home / "a" / name).mkdir()
        give_to_nobody(cluster.home / "a" / name)
    line = refused(cluster.start("a", program=(*AS_NOBODY, *KAGE)))
    assert line == f"{cluster.home}/a/{which}: Permission denied"
