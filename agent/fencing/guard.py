"""The guard: what the agent holds of its guardian, the process that outlives it (`guardian.py`).

It covers what the watchdog does, an agent that hangs, is stopped or is killed while its node runs
something, and needs no device. Invariants:
- a node that was guarded stays so: another guardian (other means, another edition of the program, or the
  former one died) is ready, and as strict as the former, before the former is told to end;
- `set` never waits: it writes eight bytes into memory, and pokes the guardian only when that would look
  too late by itself;
- a guardian is alive as long as its file is locked; the lock is its own, and ends with it. An agent that
  starts again finds it by that, and goes on with it.

Its directory belongs on a tmpfs that outlives the agent (/run/kagemusha/guard). Two files are one
guardian's, its memory and a FIFO; those of a dead one are removed when the next starts.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

from agent.config.model import SelfFence
from agent.core.ids import FOREVER, Instant
from agent.fencing import guardian
from agent.fencing.guardlink import PROGRAM, Link, find, launch
from recovery_kits.contract import Finding

END_LIMIT_S = 2.0  # from telling it until it has ended
_NO_INSTANT = (guardian.DISARMED, guardian.RETIRE)


class GuardFailed(Exception):
    """There is no guardian, or one that doesn't end; `finding` says why, and what mends it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} ({remedy})")
        self.finding = Finding(problem, remedy)


class Guard:
    """This node's guardian, from `start` to `close`."""

    def __init__(
        self,
        directory: Path,
        order: SelfFence,
        grace_ms: int,
        *,
        sysrq: str = guardian.SYSRQ,
        kernel_log: str = guardian.KERNEL_LOG,
        command_limit_ms: int = guardian.COMMAND_LIMIT_MS,
    ) -> None:
        """`grace_ms`: what an agent has for asking, on a machine that stood still: the takeover margin."""
        self._directory = directory
        edition = hashlib.sha256(PROGRAM.read_bytes()).hexdigest()
        means, command = ",".join(order.order), order.command or ()
        told = (edition, grace_ms, command_limit_ms, sysrq, kernel_log, means, *command)
        self._told = b"\0".join(os.fsencode(str(each)) for each in told)
        self._link: Link | None = None
        self._process: int | None = None  # a handle while it lives, on the loop
        self._gone = asyncio.Event()
        self._gone.set()
        self._word: int | None = None  # None: this life of the agent has said nothing yet

    @property
    def alive(self) -> bool:
        """Is there a guardian?"""
        return not self._gone.is_set()

    async def died(self) -> None:
        """Return once there is none: raise an alarm, and `start` another."""
        await self._gone.wait()

    async def start(self) -> str:
        """Find the guardian of the former life or start one, before the first restore; says which.

        It is as strict as the former ones until `set` says more. Raises GuardFailed.
        """
        assert not self.alive, "there is one"
        former: list[Link] = []
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            former += find(self._directory)
            if self._word is None:
                armed = [word for each in former if (word := each.read()) not in _NO_INSTANT]
                self._word = min(armed, default=guardian.DISARMED)
            adopted = any(self._adopt(each) for each in former)
            report = "the guardian of the former life" if adopted else await self._launch()
            for each in former:
                if each is not self._link:
                    each.retire()
        except OSError as error:
            raise GuardFailed(
                f"no guardian can be started: {error}", "mend that, or use a watchdog"
            ) from error
        finally:
            for each in former:
                if each is not self._link:
                    each.close()
        return report

    def set(self, harmless_by: Instant | None) -> None:
        """Let this node go on until that instant at most; cheap, and never waits.

        `harmless_by`: the end of authority plus takeover margin of the hierarchy in service here whose
        authority ends first; None when nothing is in service here, FOREVER when nobody waits for an end.
        While there is no guardian it is kept for the next one.
        """
        nothing = harmless_by is None or harmless_by >= FOREVER
        word = guardian.DISARMED if nothing else max(harmless_by or 0, 1)
        if word == self._word:
            return
        former, self._word = self._word, word
        if self._link is not None:
            self._link.write(word)
            if word != guardian.DISARMED and (not former or word < former):
                self._link.poke()  # it sleeps until a later instant, or for ever

    async def close(self, *, disarm: bool) -> None:
        """Let go of it. Disarm it only when nothing is in service here, or nobody may take that over.

        One that isn't disarmed goes on guarding; it ends by itself when it was told of nothing to guard.
        Raises GuardFailed when one that was disarmed hasn't ended within END_LIMIT_S.
        """
        link = self._link
        if link is None:
            return
        try:
            if disarm:
                link.retire()
                await asyncio.wait_for(self.died(), END_LIMIT_S)
                link.remove()
        except TimeoutError as error:
            raise GuardFailed(f"the guardian of {link.path} doesn't end", "kill it") from error
        finally:
            self._drop()

    def _adopt(self, link: Link) -> bool:
        """Go on with this one if it is for the same, and lives."""
        return link.told() == self._told and link.read() != guardian.RETIRE and self._hold(link)

    async def _launch(self) -> str:
        """Start another; what is to be told of it."""
        link, refused = await launch(self._directory, self._told, self._word or guardian.DISARMED)
        if not self._hold(link):
            link.close()
            raise ChildProcessError("it ended as soon as it was ready")
        return f"a new guardian, not permitted: {refused}" if refused else "a new guardian"

    def _hold(self, link: Link) -> bool:
        """Tell it what was said meanwhile, and watch over it; False if it has ended."""
        process = link.process()
        if process is None:
            return False
        self._link, self._process = link, process
        link.write(self._word or guardian.DISARMED)
        link.poke()
        self._gone.clear()
        asyncio.get_running_loop().add_reader(process, self._drop)
        return True

    def _drop(self) -> None:
        """Forget it: dead, or let go."""
        if self._process is not None:
            asyncio.get_running_loop().remove_reader(self._process)
            os.close(self._process)
        if self._link is not None:
            self._link.close()
        self._process = self._link = None
        self._gone.set()
