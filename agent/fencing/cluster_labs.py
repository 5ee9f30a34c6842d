"""Fencing through any ClusterLabs fence agent (Debian: package fence-agents), by its stdin interface.

An agent reads `key=value` lines and does `action=off`, `on`, `status` or `monitor`; see
https://github.com/ClusterLabs/fence-agents/blob/main/doc/FenceAgentAPI.md. Invariants:
- evidence is the agent's own later answer to `status`: code 2 and the words "Status: OFF", both, since
  some agents end with 2 for other reasons; where an agent has no `status`, code 0 of `off`;
- secrets come from files of their own and go to stdin; they are masked in everything that is told;
- `reboot` is off, its evidence, and then on: an agent's own reboot ends with power on, which proves
  nothing afterwards.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.config.fencing import ClusterLabsTarget
from agent.core.ids import NodeId
from agent.fencing.contract import FenceFailed, FenceUnanswered
from agent.fencing.process import Ended, run
from recovery_kits.contract import Finding

POLL_S, POLL_MAX_S = 0.25, 2.0
ON_LIMIT_S = 10.0  # turning it on again is a courtesy: it mustn't hold up a takeover
STATUS_SHARE = 0.25  # of the limit is kept for asking after an `off` that hangs
TOLD_CHARACTERS = 1_000  # of an agent's output
MASK = "***"
_OFF = re.compile(r"^\s*status:\s*off\s*$", re.IGNORECASE | re.MULTILINE)
# The agents end with 1 whatever is wrong and tell it in words: those of their common library.
_CERTAIN = {
    "does not have the correct privileges": "give the device's user the right to switch power",
    "You have to set login password": 'give it: secrets = ["password=/path/of/a/file"]',
    "You have to enter": "complete the options: `AGENT -o metadata` lists them",
    "You have to set": "complete the options: `AGENT -o metadata` lists them",
    "Please use '-h' for usage": "correct the options: `AGENT -o metadata` lists them",
}


@dataclass(frozen=True)
class _Given:
    """One target with its secrets, for one fencing."""

    target: ClusterLabsTarget
    secrets: Mapping[str, str] = field(repr=False)

    def stdin(self, action: str) -> str:
        """What the agent reads."""
        secret = [f"{key}={value}" for key, value in self.secrets.items()]
        return "\n".join((*self.target.options, *secret, f"action={action}", ""))

    def told(self, ended: Ended) -> str:
        """An agent's output as people may see it."""
        text = ended.output
        for secret in sorted(self.secrets.values(), key=len, reverse=True):
            text = text.replace(secret, MASK)
        return " / ".join(line.strip() for line in text.splitlines() if line.strip())[-TOLD_CHARACTERS:]


class ClusterLabsFence:
    """Switches other nodes off through fence agents."""

    def __init__(self, me: NodeId, targets: Mapping[NodeId, ClusterLabsTarget]) -> None:
        self._me, self._targets = me, targets

    async def fence(self, node: NodeId) -> str:
        """Switch the node off; see agent.fencing.contract.Fence."""
        if node == self._me:
            raise FenceFailed(f"{node} is this node", "a node doesn't switch itself off")
        if node not in self._targets:
            raise FenceFailed(f"no fence agent is configured for {node}", "configure one")
        until = time.monotonic() + self._targets[node].limit_ms / 1_000
        given = await _read_secrets(self._targets[node])
        evidence = await self._off(given, until)
        if given.target.action == "reboot":
            evidence += await self._on(given)
        return evidence

    async def _off(self, given: _Given, until: float) -> str:
        """Switch off and ask until it is off; the evidence."""
        limit_s = given.target.limit_ms / 1_000
        ended = await _call(given, "off", until - time.monotonic() - limit_s * STATUS_SHARE)
        tell = given.told(ended) or f"ended with {ended.code}"
        if not given.target.has_status:
            if ended.code == 0:
                return f"{given.target.agent} says off: {tell}"
            raise _failure(given, ended, "off")
        pause_s = POLL_S
        while (left_s := until - time.monotonic()) > 0:
            status = await _call(given, "status", left_s)
            if status.code == 2 and _OFF.search(status.output):
                return f"{given.target.agent} says {given.told(status)} (off: {tell})"
            if ended.code != 0:  # neither done nor begun, as far as anybody can tell
                raise _failure(given, ended, "off")
            await asyncio.sleep(min(pause_s, max(0, until - time.monotonic())))
            pause_s = min(pause_s * 1.5, POLL_MAX_S)
        raise FenceUnanswered(f"{given.target.agent}: off for {limit_s:g} s without evidence (off: {tell})")

    async def _on(self, given: _Given) -> str:
        """Switch it on again. The node is harmless in any case: a failure is only told."""
        ended = await _call(given, "on", ON_LIMIT_S)
        return ", and on again" if ended.code == 0 else f"; switching it on again failed: {given.told(ended)}"

    async def findings(self) -> list[Finding]:
        """Whether each agent is there, knows its options and reaches its device; changes nothing."""
        found: list[Finding] = []
        for node, target in self._targets.items():
            if node != self._me:
                found += [replace(each, problem=f"{node}: {each.problem}") for each in await _trouble(target)]
        return found


async def _call(given: _Given, action: str, limit_s: float) -> Ended:
    """Run the agent for one action; raises FenceFailed if there is no such agent."""
    agent = given.target.agent
    try:
        ended = await run((agent,), given.stdin(action), max(limit_s, 0.1))
    except OSError as error:
        raise FenceUnanswered(f"{agent}: can't be started: {error}") from error
    if ended.missing:
        raise FenceFailed(f"there is no {agent}", "install it: apt-get install fence-agents")
    return ended


def _failure(given: _Given, ended: Ended, action: str) -> FenceFailed | FenceUnanswered:
    """Why an action of the agent didn't work, in the agent's own words."""
    what = f"{given.target.agent}: {action}"
    if ended.code is None:
        return FenceUnanswered(f"{what} was still running when its time was up: {given.told(ended)}")
    text = f"{what} ended with {ended.code}: {given.told(ended) or '(no output)'}"
    for words, step in _CERTAIN.items():
        if words in ended.output:
            return FenceFailed(text, step.replace("AGENT", given.target.agent))
    return FenceUnanswered(text)


async def _read_secrets(target: ClusterLabsTarget) -> _Given:
    """The target with its secrets' values; raises FenceFailed when a file can't be had."""
    secrets: dict[str, str] = {}
    for secret in target.secrets:
        key, _, path = secret.partition("=")
        try:
            async with asyncio.timeout(target.limit_ms / 1_000 * STATUS_SHARE):
                value = (await asyncio.to_thread(Path(path).read_text)).partition("\n")[0]
        except TimeoutError as error:
            raise FenceUnanswered(f"{path} can't be read: its disk doesn't answer") from error
        except (OSError, UnicodeDecodeError) as error:
            step = f"write {key} into it as one line, mode 0400"
            raise FenceFailed(f"{path} can't be read: {error}", step) from error
        if not value:
            raise FenceFailed(f"{path} is empty", f"write {key} into it as one line")
        secrets[key] = value
    return _Given(target, secrets)


async def _trouble(target: ClusterLabsTarget) -> list[Finding]:
    """What is wrong with one target, as far as `monitor` and the secrets' files tell."""
    found = []
    for secret in target.secrets:
        key, _, path = secret.partition("=")
        if (mode := _mode(Path(path))) & 0o077:
            problem = f"{key}: {path} has mode {mode:04o}: others can read it"
            found.append(Finding(problem, f"chmod 0400 {path}"))
    try:
        given = await _read_secrets(target)
        ended = await _call(given, "monitor", target.limit_ms / 1_000)
    except FenceFailed as failed:
        return [*found, Finding(failed.text, failed.step)]
    except FenceUnanswered as unanswered:
        return [*found, Finding(str(unanswered), "try again", certain=False)]
    if ended.code != 0:
        failure = _failure(given, ended, "monitor")
        found.append(Finding(str(failure), "mend that, and try `monitor` again"))
    elif "unknown option" in ended.output:
        remedy = f"correct the options: `{target.agent} -o metadata` lists them"
        found.append(Finding(given.told(ended), remedy))
    return found


def _mode(path: Path) -> int:
    """Permission bits; 0 for a file that can't be looked at, which reading it tells."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return 0
