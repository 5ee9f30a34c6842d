"""ClusterLabs fence agents: a real one, and scripts that do what agents shouldn't."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.config.errors import BadParameter
from agent.config.fencing import ClusterLabsTarget
from agent.core.ids import NodeId
from agent.fencing.cluster_labs import ClusterLabsFence
from agent.fencing.contract import FenceFailed, FenceUnanswered

ME, OTHER = NodeId("db-01"), NodeId("db-02")
SECRET = "correct horse"  # with a space: what is told is masked as it was given
real_agent = pytest.mark.skipif(
    shutil.which("fence_dummy", path="/usr/sbin:/usr/bin") is None, reason="needs the package fence-agents"
)


class Agent:
    """A shell script in an agent's place; it gets its input's lines as shell variables."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.path = directory / "fence_scripted"
        self.log = directory / "calls"

    def does(self, off: str = "exit 0", status: str = 'echo "Status: OFF"; exit 2', other: str = "") -> None:
        """What it does for each action, in shell."""
        self.path.write_text(
            '#!/bin/sh\nwhile read -r line; do export "$line"; done\n'
            f'echo "$action" >>{self.log}\ncat /proc/$$/cmdline /proc/$$/environ >>{self.log}.seen\n'
            f"case $action in\noff) {off} ;;\nstatus) {status} ;;\n*) {other or ':'} ;;\nesac\n"
        )
        self.path.chmod(0o755)

    @property
    def actions(self) -> list[str]:
        """What it was asked to do."""
        return self.log.read_text().split()

    @property
    def seen(self) -> str:
        """Its command lines and environments."""
        return Path(f"{self.log}.seen").read_text(errors="replace")


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o400)
    return path


@pytest.fixture
def fence(runner: asyncio.Runner, agent: Agent) -> Callable[..., str]:
    def fence(**changes: Any) -> str:
        usual: dict[str, Any] = {"agent": str(agent.path), "limit_ms": 10_000}
        there = ClusterLabsTarget(**usual | changes)
        return runner.run(ClusterLabsFence(ME, {OTHER: there}).fence(OTHER))

    return fence


def problems(runner: asyncio.Runner, there: ClusterLabsTarget) -> list[str]:
    return [each.problem for each in runner.run(ClusterLabsFence(ME, {OTHER: there}).findings())]


# A real agent: fence_dummy keeps its switch in a file.


def dummy(status_file: Path, **changes: Any) -> dict[str, Any]:
    return {"agent": "fence_dummy", "options": ("type=file", f"status_file={status_file}"), **changes}


@real_agent
def test_a_real_agent_switches_off_and_its_status_is_the_evidence(
    fence: Callable[..., str], tmp_path: Path
) -> None:
    switch = tmp_path / "switch"
    switch.write_text("on")
    assert fence(**dummy(switch)) == "fence_dummy says Status: OFF (off: Success: Powered OFF)"
    assert switch.read_text() == "off"
    assert fence(**dummy(switch)) == "fence_dummy says Status: OFF (off: Success: Already OFF)"


@real_agent
def test_a_real_agent_switches_on_again_after_the_evidence(fence: Callable[..., str], tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    switch.write_text("on")
    assert fence(**dummy(switch, action="reboot")).endswith(
        "Status: OFF (off: Success: Powered OFF), and on again"
    )
    assert switch.read_text() == "on"


@real_agent
def test_a_real_agent_that_cannot_tell_is_no_evidence(fence: Callable[..., str], tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    switch.write_text("perhaps")
    with pytest.raises(FenceUnanswered, match="Unable to obtain correct plug status"):
        fence(**dummy(switch))


@real_agent
def test_a_real_agent_whose_options_are_wrong_says_which(runner: asyncio.Runner, tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    switch.write_text("on")
    assert problems(runner, ClusterLabsTarget(**dummy(switch))) == []
    options = (f"status_file={switch}", "plugg=3")
    (problem,) = problems(runner, ClusterLabsTarget(agent="fence_dummy", options=options))
    assert "unknown option 'plugg=3'" in problem
    assert switch.read_text() == "on"


@real_agent
def test_an_incomplete_configuration_of_a_real_agent_is_certain(fence: Callable[..., str]) -> None:
    with pytest.raises(FenceFailed, match=r"You have to enter .*fence_ipmilan -o metadata"):
        fence(agent="fence_ipmilan", options=("username=kage",))


@real_agent
def test_a_real_agent_that_waits_in_vain_is_no_evidence(fence: Callable[..., str]) -> None:
    with pytest.raises(FenceUnanswered):
        fence(agent="fence_dummy", options=("type=fail", "power_timeout=1"))


# Scripted agents.


def test_off_and_then_status_is_what_it_is_asked(fence: Callable[..., str], agent: Agent) -> None:
    agent.does(status='[ "$(grep -c status %s)" -gt 2 ] && echo "Status: OFF" && exit 2' % agent.log)  # noqa: UP031
    fence()
    assert agent.actions == ["off", "status", "status", "status"]


@pytest.mark.parametrize(
    ("off", "status"),
    [
        ("exit 0", "exit 2"),  # some agents end with 2 for wrong arguments
        ("exit 0", 'echo "Status: OFF"'),  # 0 is ON
        ("exit 0", 'echo "Status: ON"; exit 2'),
        ("exit 0", 'echo "Status: OFFLINE?"; exit 2'),
        ("exit 0", "head -c 200000 /dev/urandom; exit 2"),
        ("exit 0", 'echo "Status: OFF"; exit 1'),
        ("exit 0", "kill -9 $$"),
        ("exit 0", "sleep 600"),
        ("exit 7", "echo 'Status: ON'"),
        ("kill -9 $$", "echo 'Status: ON'"),
        ("sleep 600", "echo 'Status: ON'"),
        ("sleep 600", "sleep 600"),
        ("exec 1>&- 2>&-; sleep 600", "yes"),
    ],
)
def test_nothing_but_an_agent_that_says_off_is_evidence(
    fence: Callable[..., str], agent: Agent, off: str, status: str
) -> None:
    agent.does(off=off, status=status)
    begun = time.monotonic()
    with pytest.raises(FenceUnanswered):
        fence(limit_ms=1_500)
    assert time.monotonic() - begun < 30  # not the 600 s that some of them sleep


def test_an_off_that_failed_but_worked_is_found_out_by_asking(
    fence: Callable[..., str], agent: Agent
) -> None:
    agent.does(off="echo lost; exit 1")
    assert fence() == f"{agent.path} says Status: OFF (off: lost)"


def test_an_off_that_hangs_leaves_time_to_ask(fence: Callable[..., str], agent: Agent) -> None:
    agent.does(off="sleep 600")
    assert "Status: OFF" in fence(limit_ms=3_000)


def test_an_agent_without_status_is_believed_only_where_that_is_configured(
    fence: Callable[..., str], agent: Agent
) -> None:
    agent.does(off="echo captured", status="exit 1")
    assert fence(has_status=False) == f"{agent.path} says off: captured"
    agent.does(off="exit 1")
    with pytest.raises(FenceUnanswered, match="off ended with 1"):
        fence(has_status=False)


def test_what_trying_again_does_not_mend_is_a_failure(fence: Callable[..., str], agent: Agent) -> None:
    agent.does(
        off="echo 'Failed: The user does not have the correct privileges to do that.'; exit 1",
        status="exit 1",
    )
    with pytest.raises(FenceFailed, match="give the device's user the right to switch power"):
        fence()


def test_an_agent_that_is_not_there_is_a_failure(fence: Callable[..., str]) -> None:
    with pytest.raises(FenceFailed, match=r"there is no fence_nothing.*fence-agents"):
        fence(agent="fence_nothing")


def test_a_hung_agent_is_killed_with_its_children(
    fence: Callable[..., str], agent: Agent, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    agent.does(off=f"sleep 600 & echo $! >{pids}; echo $$ >>{pids}; wait", status="exit 1")
    with pytest.raises(FenceUnanswered, match="still running"):
        fence(limit_ms=1_000)
    assert not any(_runs(int(pid)) for pid in pids.read_text().split())


def test_a_fencing_that_is_cut_short_leaves_no_agent_behind(
    runner: asyncio.Runner, agent: Agent, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    agent.does(off=f"echo $$ >{pid}.new; mv {pid}.new {pid}; exec sleep 600")

    async def cut_short() -> None:
        there = ClusterLabsTarget(agent=str(agent.path))
        fencing = asyncio.ensure_future(ClusterLabsFence(ME, {OTHER: there}).fence(OTHER))
        async with asyncio.timeout(20):
            while not pid.exists():  # noqa: ASYNC110 (another process makes it)
                await asyncio.sleep(0.01)
        fencing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fencing

    runner.run(cut_short())
    assert not _runs(int(pid.read_text()))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # an orphan that was killed may wait for this machine's init to reap it


def test_this_node_and_unknown_nodes_are_never_a_target(runner: asyncio.Runner, agent: Agent) -> None:
    agent.does()
    there = ClusterLabsTarget(agent=str(agent.path))
    for node in (ME, NodeId("db-03")):
        with pytest.raises(FenceFailed):
            runner.run(ClusterLabsFence(ME, {ME: there, OTHER: there}).fence(node))
    assert not agent.log.exists()


# Secrets.


def test_a_secret_reaches_the_agent_by_stdin_alone_and_is_masked(
    fence: Callable[..., str], agent: Agent, secret_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    agent.does(off=f'[ "$password" = "{SECRET}" ] && echo "logged in with $password"')
    evidence = fence(secrets=(f"password={secret_file}",), options=("ip=192.0.2.1",))
    assert "logged in with ***" in evidence
    agent.does(off='echo "wrong: $password"; exit 1', status="exit 1")
    with pytest.raises(FenceUnanswered, match=r"wrong: \*\*\*") as caught:
        fence(secrets=(f"password={secret_file}",))
    for text in (evidence, str(caught.value), repr(caught.value), agent.seen, caplog.text):
        assert SECRET not in text


@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), ("", "is empty"), ("\nx", "is empty")])
def test_a_secret_that_cannot_be_had_is_a_failure(
    fence: Callable[..., str], agent: Agent, tmp_path: Path, content: str | None, says: str
) -> None:
    agent.does()
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FenceFailed, match=says):
        fence(secrets=(f"password={path}",))
    assert not agent.log.exists()


def test_a_secret_that_others_can_read_is_found(
    runner: asyncio.Runner, agent: Agent, secret_file: Path
) -> None:
    agent.does()
    there = ClusterLabsTarget(agent=str(agent.path), secrets=(f"password={secret_file}",))
    assert problems(runner, there) == []
    secret_file.chmod(0o444)
    assert problems(runner, there) == [f"{OTHER}: password: {secret_file} has mode 0444: others can read it"]
    assert agent.actions == ["monitor", "monitor"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"options": ("password=x",)},
        {"options": ("snmp_priv_passwd=x",)},
        {"options": ("secret_key=x",)},
        {"options": ("action=on",)},
        {"options": ("plug",)},
        {"options": ("plug=1\naction=on",)},
        {"secrets": (f"password={SECRET}",)},
        {"secrets": (SECRET,)},
    ],
)
def test_options_that_could_leak_or_change_the_action_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadParameter) as caught:
        ClusterLabsTarget(agent="fence_dummy", **wrong)
    assert SECRET not in str(caught.value)
