"""A systemd unit, started and stopped through systemctl.

Invariants: when systemd can't be asked the answer is UNKNOWN, never FAILED; `remove` returns only when
systemd says that the unit is inactive.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from agent.core.states import Health
from recovery_kits.contract import Check, CommandFailed, Finding, Kit, KitError

_PROPERTIES = "LoadState,ActiveState,SubState,Result,UnitFileState"


@dataclass(frozen=True, kw_only=True)
class SystemdParameters:
    """The `systemd` kit's parameters."""

    unit: Annotated[
        str,
        Meta(
            description="The unit's name with its suffix. It must not be enabled: Kagemusha starts it.",
            pattern=r"^[A-Za-z0-9:_.\\@-]+\.(service|socket|target|timer|mount|path|slice|scope|swap)$",
            examples=["postgresql@15-main.service"],
        ),
    ]


@dataclass(frozen=True)
class Unit:
    """What systemd says of a unit."""

    load: str
    active: str
    sub: str
    result: str
    file: str  # "enabled", "disabled", "static", …

    @property
    def stopped(self) -> bool:
        """Nothing of it runs, or systemd doesn't know it."""
        return self.active in {"inactive", "failed"}

    def __str__(self) -> str:
        """`failed (failed, exit-code)`."""
        return f"{self.active} ({self.sub}{'' if self.result in {'', 'success'} else f', {self.result}'})"


class SystemdKit(Kit[SystemdParameters]):
    """A unit, e.g. postgresql@15-main.service."""

    kind = "systemd"
    summary = "a systemd unit"
    Parameters = SystemdParameters

    async def restore(self) -> None:
        """Start the unit, and see that it stays up for its first moment."""
        await self._up("restore", "start")

    async def recover(self) -> None:
        """Restart the unit."""
        await self._up("recover", "restart")

    async def remove(self) -> None:
        """Stop the unit."""
        unit = await self._unit("remove")
        if unit.load != "loaded" and unit.stopped:
            return
        await self._systemctl("remove", "stop")
        await self._require_stopped("remove")

    async def force_remove(self) -> None:
        """Kill every process of the unit, then stop it."""
        if (await self._unit("force-remove")).stopped:
            return
        try:
            await self._systemctl("force-remove", "kill", "--signal=SIGKILL")
        except KitError as problem:  # it may have ended by itself just now: what counts comes next
            self.tools.log(str(problem))
        await self._systemctl("force-remove", "stop")
        await self._require_stopped("force-remove")

    async def quick_check(self) -> Check:
        """Ask systemd for the unit's state."""
        try:
            unit = await self._show()
        except (CommandFailed, OSError, ValueError) as problem:
            return Check.unknown(f"systemd can't be asked: {problem}")
        return _judge(self.parameters.unit, unit)

    async def validate(self) -> list[Finding]:
        """The unit exists and doesn't start by itself."""
        name = self.parameters.unit
        if shutil.which("systemctl") is None:
            return [Finding("there is no systemctl", "this node doesn't run systemd: use the generic kit")]
        unit = await self._unit("validate")
        if unit.load == "not-found":
            return [Finding(f"there is no unit {name}", "install its package, or correct `unit`")]
        if unit.load == "masked":
            return [Finding(f"{name} is masked", f"systemctl unmask {name}")]
        if unit.load != "loaded":
            return [Finding(f"{name} can't be loaded: {unit.load}", f"systemctl status {name}")]
        if unit.file in {"enabled", "enabled-runtime"}:
            return [Finding(f"{name} starts by itself at boot", f"systemctl disable {name}")]
        return []

    async def _up(self, action: str, verb: str) -> None:
        unit = await self._unit(action)
        if verb == "start" and unit.active == "active":
            return
        if unit.active == "failed":  # else its start limit may refuse to start it
            await self._systemctl(action, "reset-failed")
        await self._systemctl(action, verb)
        check = _judge(self.parameters.unit, await self._unit(action))
        if check.health is Health.FAILED:
            raise self.error(action, f"systemctl {verb} went well, yet {check.why}")

    async def _require_stopped(self, action: str) -> None:
        unit = await self._unit(action)
        if not unit.stopped:
            raise self.error(action, f"{self.parameters.unit} was stopped and is {unit}")

    async def _systemctl(self, action: str, verb: str, *options: str) -> None:
        try:
            await self.tools.run(
                "systemctl",
                "--no-ask-password",
                verb,
                *options,
                "--",
                self.parameters.unit,
                log=self.tools.log,
            )
        except (CommandFailed, OSError) as problem:
            raise self.error(action, f"systemctl {verb}: {problem}") from problem

    async def _unit(self, action: str) -> Unit:
        try:
            return await self._show()
        except (CommandFailed, OSError, ValueError) as problem:
            raise self.error(action, f"systemd can't be asked: {problem}") from problem

    async def _show(self) -> Unit:
        """Raises CommandFailed, OSError, or ValueError for an answer that isn't systemctl's."""
        shown = await self.tools.run(
            "systemctl", "show", f"--property={_PROPERTIES}", "--", self.parameters.unit
        )
        said = dict(line.partition("=")[::2] for line in shown.splitlines())
        if not said.get("LoadState") or not said.get("ActiveState"):
            raise ValueError(f"an answer without states: {shown.strip()!r}")
        return Unit(*(said.get(name, "") for name in _PROPERTIES.split(",")))


def _judge(name: str, unit: Unit) -> Check:
    if unit.load == "not-found":
        return Check.failed(f"there is no unit {name}")
    if unit.active in {"active", "reloading", "refreshing"}:  # it serves while it reloads
        return Check.ok()
    if unit.sub == "auto-restart":  # a crash loop must not look like a start for ever
        return Check.failed(f"{name} has ended, systemd is about to start it again")
    if unit.active == "activating":
        return Check.unknown(f"{name} is {unit}")
    return Check.failed(f"{name} is {unit}")
