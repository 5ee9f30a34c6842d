"""Messages to a program of the operator's own."""

from __future__ import annotations

from agent.config.notify import ScriptParameters
from agent.fencing.process import run
from agent.notify.contract import NotSent
from agent.notify.message import Message, one_line

TOLD = 200  # characters of what it printed, the last ones


class Script:
    """Gives each message to a process of its own."""

    def __init__(self, parameters: ScriptParameters) -> None:
        self._command, self._limit_s = parameters.command, parameters.limit_ms / 1_000

    async def warm_up(self) -> None:
        """Nothing to load."""

    async def send(self, message: Message) -> None:
        """Sent is what the program ended for with 0."""
        name = self._command[0]
        try:
            ended = await run(self._command, message.json().decode() + "\n", self._limit_s)
        except OSError as error:
            raise NotSent(f"{name} can't be started: {error.strerror or error}") from error
        if ended.missing:
            raise NotSent(f"there is no {name} that can be run", f"install it, chmod +x {name}")
        if ended.code is None:
            raise NotSent(
                f"{name} was still running after {self._limit_s:g} s", "give it a longer limit, or mend it"
            )
        if ended.code != 0:
            printed = one_line(ended.output.strip()[-TOLD:]) or "(no output)"
            raise NotSent(f"{name} ended with {ended.code}: {printed}")
