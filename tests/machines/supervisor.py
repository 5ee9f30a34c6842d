"""What systemd does for the agent: starts it again when it dies, and ends only it when stopped.

As with KillMode=process, what the agent started lives on when it ends; the machine's end ends all.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping

from tests.machines.machine import wait_until
from tests.machines.runs import Running, Runs

# $1: the file for the agent's process number. The pause keeps a broken agent from using up a core.
_SUPERVISE = """
pidfile=$1
shift
stopping=
trap 'stopping=1; kill -TERM "$pid" 2>/dev/null' TERM
until [ "$stopping" ]; do
    "$@" &
    pid=$!
    echo "$pid" >"$pidfile"
    wait "$pid"; code=$?
    while kill -0 "$pid" 2>/dev/null; do wait "$pid"; code=$?; done  # a trap ends a wait early
    echo "supervisor: the agent ended with $code"
    [ "$code" != 2 ] || stopping=1  # it can't start, and says why: no use in trying for ever in a test
    [ "$stopping" ] || sleep 0.05
done
"""

PID_LIMIT_S = 20.0


class Supervised:
    """One agent under its supervisor."""

    def __init__(self, machine: Runs, argv: tuple[str, ...], env: Mapping[str, str]) -> None:
        self._machine, self._argv, self._env = machine, argv, env
        self._process: Running | None = None
        self._pid_file = "/run/supervised.pid"

    def start(self) -> None:
        """Start the supervisor, and with it the agent."""
        self._process = self._machine.spawn(
            "sh", "-c", _SUPERVISE, "supervisor", self._pid_file, *self._argv, log=self.log, env=self._env
        )

    @property
    def log(self) -> str:
        """The name of its log, which its later lives go on writing."""
        return f"{self._machine.name}.agent.log"

    def pid(self) -> int:
        """The agent's process number as the machine counts; changes when it was started again."""
        wait_until(self._read_pid, PID_LIMIT_S, f"{self._machine.name}: agent started")
        return int(self._read_pid())

    def signal(self, number: signal.Signals) -> None:
        """Send the agent a signal: KILL is a crash, STOP a hang."""
        self._machine.run("kill", f"-{number.value}", str(self.pid()))

    def crash(self) -> None:
        """`kill -9` of the agent, and nothing starts it again."""
        assert self._process
        self._process.send(signal.SIGKILL)
        self.signal(signal.SIGKILL)
        self._process = None

    def stop(self, within_s: float = 15.0) -> None:
        """As `systemctl stop`: the agent ends in good order and isn't started again."""
        if self._process:
            self._process.stop(within_s)
            self._process = None

    def _read_pid(self) -> str:
        return self._machine.run("cat", self._pid_file, check=False)
