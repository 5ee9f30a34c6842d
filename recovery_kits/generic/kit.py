"""Scripts that start, stop, check and repair something: LifeKeeper's generic application contract.

Invariants: a script gets `-t TAG -i ID` (recover: `-d TAG -n ID`) and KAGE_* in its environment; exit
code 0 is good, anything else is bad; what it prints goes to the journal line by line.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from agent.core.states import Action
from recovery_kits.contract import Check, CommandFailed, Finding, Kit
from recovery_kits.generic.scripts import script_findings


@dataclass(frozen=True, kw_only=True)
class GenericParameters:
    """The `generic` kit's parameters."""

    id: Annotated[
        str, Meta(description="Passed to the scripts as -i (recover: -n) and KAGE_ID.", min_length=1)
    ]
    restore: Annotated[Path, Meta(description="The script that starts it; 0 if it runs already.")]
    remove: Annotated[Path, Meta(description="The script that stops it; 0 only when it is stopped.")]
    quick_check: Annotated[
        Path | None,
        Meta(description="The script that looks whether it works. Without one nothing watches it (ISU)."),
    ] = None
    recover: Annotated[
        Path | None,
        Meta(description="The script that repairs it in place. Without one a failure is a failover."),
    ] = None
    force_remove: Annotated[
        Path | None,
        Meta(description="The script that stops it by rougher means when `remove` failed."),
    ] = None
    info: Annotated[str, Meta(description="Passed to the scripts as KAGE_INFO.")] = ""

    def scripts(self) -> list[Path]:
        """Those that are configured."""
        every = (self.restore, self.remove, self.quick_check, self.recover, self.force_remove)
        return list(dict.fromkeys(script for script in every if script is not None))


class GenericKit(Kit[GenericParameters]):
    """An application under scripts."""

    kind = "generic"
    summary = "anything that scripts can start, stop and check; LifeKeeper's scripts run unchanged"
    Parameters = GenericParameters

    @classmethod
    def can_check(cls, parameters: GenericParameters) -> bool:
        """Only with a quick_check script."""
        return parameters.quick_check is not None

    @classmethod
    def can_recover(cls, parameters: GenericParameters) -> bool:
        """Only with a recover script. Without one a failure is a failover, as in LifeKeeper."""
        return parameters.recover is not None

    async def restore(self) -> None:
        """Run the restore script."""
        await self._require(Action.RESTORE, self.parameters.restore)

    async def remove(self) -> None:
        """Run the remove script."""
        await self._require(Action.REMOVE, self.parameters.remove)

    async def force_remove(self) -> None:
        """Run the force_remove script; without one, the remove script again."""
        await self._require(Action.FORCE_REMOVE, self.parameters.force_remove or self.parameters.remove)

    async def recover(self) -> None:
        """Run the recover script."""
        if self.parameters.recover is None:
            raise self.error(
                Action.RECOVER.value, "there is no recover script, so nothing can be repaired here"
            )
        await self._require(Action.RECOVER, self.parameters.recover)

    async def quick_check(self) -> Check:
        """Run the quick_check script. Where the agent itself can't run anything, nobody could tell."""
        script = self.parameters.quick_check
        if script is None:
            return Check.unknown("there is no quick_check script")
        try:
            await self._run(Action.CHECK, script)
        except CommandFailed as problem:
            return Check.failed(str(problem))
        except OSError as problem:
            if problem.filename == str(script):  # it is missing
                return Check.failed(str(problem))
            return Check.unknown(f"{script} can't be run: {problem}")
        return Check.ok()

    async def validate(self) -> list[Finding]:
        """Each script can be run, and only its owner can change it."""
        found = [await asyncio.to_thread(script_findings, script) for script in self.parameters.scripts()]
        return [finding for findings in found for finding in findings]

    async def _require(self, action: Action, script: Path) -> None:
        try:
            await self._run(action, script)
        except (CommandFailed, OSError) as problem:
            raise self.error(action.value, str(problem)) from problem

    async def _run(self, action: Action, script: Path) -> None:
        tag, id_ = self.tools.tag, self.parameters.id
        arguments = ("-d", tag, "-n", id_) if action is Action.RECOVER else ("-t", tag, "-i", id_)
        environment = {
            "KAGE_TAG": tag,
            "KAGE_ID": id_,
            "KAGE_INFO": self.parameters.info,
            "KAGE_NODE": self.tools.node,
            "KAGE_ACTION": action.value,
        }
        await self.tools.run(str(script), *arguments, env=environment, log=self.tools.log)
