"""Real agents of two nodes on one machine: comm paths on loopback addresses, resources under a script.

The script keeps a file for each resource that is in service, a real daemon for the one called "db",
and a list of everything it was asked to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from agent.api.client import AgentClient
from agent.api.errors import Unreachable
from agent.api.reports import EventView, HierarchyView, StatusReport
from agent.comm.keys import generate
from tests.comm.world import free_port
from tests.runtime.waiting import wait_until

LIMIT_S = 20.0
ROOT = Path(__file__).parents[2]
KAGE = (sys.executable, "-m", "agent.cli.main")
SCRIPT = """#!/bin/sh
cd {here} || exit 9
echo "$KAGE_NODE $KAGE_ACTION $KAGE_TAG" >> calls
up=$KAGE_NODE.$KAGE_TAG
test -e "$up.$KAGE_ACTION.fails" && {{ echo "told to fail"; exit 1; }}
while test -e "$up.$KAGE_ACTION.hangs"; do sleep 0.1; done
case $KAGE_ACTION in
restore | recover)
    if test "$KAGE_TAG" = db; then
        kill -0 "$(cat "$up" 2>/dev/null)" 2>/dev/null && exit 0
        setsid sleep 600 & echo $! > "$up.new" && mv "$up.new" "$up"
    else
        : > "$up"
    fi ;;
remove)
    test "$KAGE_TAG" = db && test -e "$up" && kill "$(cat "$up")"
    rm -f "$up" ;;
quick-check)
    test "$KAGE_TAG" = db || exec test -e "$up"
    kill -0 "$(cat "$up")" ;;
esac
"""
CONFIG = """
[cluster]
name = "loopback"
key_file = "{here}/key"
quorum = "none"
heartbeat_interval = "100ms"
dead_after = "2s"
startup_grace = "{grace}"

[comm_path.lo1]
priority = 1
port = {port}
a = "127.91.1.1"
b = "127.91.1.2"

[comm_path.lo2]
priority = 2
port = {port}
a = "127.91.2.1"
b = "127.91.2.2"

[hierarchy.app]
nodes = ["a", "b"]

[hierarchy.app.resource.db]
kit = "generic"
id = "x"
restore = "{here}/script"
remove = "{here}/script"
quick_check = "{here}/script"
recover = "{here}/script"
check_interval = "{check}"

[hierarchy.app.resource.web]
kit = "generic"
depends_on = ["db"]
id = "y"
restore = "{here}/script"
remove = "{here}/script"
quick_check = "{here}/script"
check_interval = "{check}"
"""


class AgentProcess:
    """`kage agent` of one node."""

    def __init__(
        self,
        home: Path,
        node: str,
        log: Path,
        *options: str,
        program: Sequence[str] = KAGE,
        **environment: str,
    ) -> None:
        self.state, self.runtime, self.log = home / node / "state", home / node / "run", log
        self.api = AgentClient(self.runtime / "agent.sock")
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(*program, "--config", f"{home}/cluster.toml", "agent", "--node", node),
                    *("--state-dir", f"{self.state}", "--runtime-dir", f"{self.runtime}", *options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            )

    def status(self) -> StatusReport | None:
        """None while it doesn't answer; fails when it has ended."""
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(Unreachable):
            return self.api.status()
        return None

    def app(self) -> HierarchyView | None:
        """The hierarchy as this agent sees it."""
        status = self.status()
        return status.hierarchies[0] if status else None

    def sees(self, node: str, *states: str) -> bool:
        """Are the resources on that node in these states, parents first?"""
        app = self.app()
        return app is not None and tuple(each.nodes[node].state for each in app.resources) == states

    def events(self, kind: str) -> list[EventView]:
        """Its events of one kind."""
        return [each for each in self.api.events(1_000) if each.kind == kind]

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()
        self.process.wait(LIMIT_S)

    def end(self) -> int:
        """As systemd does; its exit code."""
        self.process.terminate()
        return self.process.wait(LIMIT_S)


class Loopback:
    """The two nodes' files and processes."""

    def __init__(self, home: Path, *, check: str = "200ms", grace: str = "30s") -> None:
        self.home = home
        self.settings = {"here": home, "port": free_port(), "check": check, "grace": grace}
        generate(home / "key")
        (home / "script").write_text(SCRIPT.format(here=home))
        (home / "script").chmod(0o755)
        self.configure()
        self.started: list[AgentProcess] = []

    def configure(self, replace: Mapping[str, str] | None = None) -> None:
        """Write the configuration, changed."""
        text = CONFIG.format(**self.settings)
        for old, new in (replace or {}).items():
            assert old in text, old
            text = text.replace(old, new)
        (self.home / "cluster.toml").write_text(text)

    def start(
        self, node: str, *options: str, program: Sequence[str] = KAGE, **environment: str
    ) -> AgentProcess:
        """Start a node's agent; `program` instead of `kage`, e.g. one that is broken."""
        log = self.home / f"{node}-{len(self.started)}.log"
        agent = AgentProcess(self.home, node, log, *options, program=program, **environment)
        self.started.append(agent)
        return agent

    def start_both(self) -> tuple[AgentProcess, AgentProcess]:
        """Start both, and wait until the hierarchy is in service on a, as both see."""
        a, b = self.start("a"), self.start("b")
        for agent in (a, b):
            wait_until(partial(agent.sees, "a", "ISP", "ISP"))
            wait_until(partial(agent.sees, "b", "OSU", "OSU"))
        return a, b

    def calls(self, *but: str) -> list[str]:
        """Everything that the script was asked to do, except these actions."""
        lines = (self.home / "calls").read_text().splitlines()
        return [line for line in lines if line.split()[1] not in but]

    def daemon(self, node: str) -> int:
        """The pid of the daemon that db is on that node."""
        return int((self.home / f"{node}.db").read_text())

    def close(self) -> None:
        """End everything."""
        for agent in self.started:
            if agent.process.poll() is None:
                agent.kill()
        for file in self.home.glob("?.db"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(file.read_text()), signal.SIGKILL)


@contextlib.contextmanager
def loopback(home: Path, *, check: str = "200ms", grace: str = "30s") -> Iterator[Loopback]:
    """Two nodes until the end of the block."""
    cluster = Loopback(home, check=check, grace=grace)
    try:
        yield cluster
    finally:
        cluster.close()


def is_alive(pid: int) -> bool:
    """Does the process run (and isn't just waiting to be reaped)?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


NOBODY = 65_534
AS_NOBODY = (  # it may read what any user's interpreter lies behind, and write nothing but its own
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--bounding-set=-all,+dac_read_search", "--inh-caps=-all,+dac_read_search"),
    "--ambient-caps=+dac_read_search",
)


def give_to_nobody(home: Path) -> None:
    """Let the user nobody own everything there."""
    for path in (home, *home.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
