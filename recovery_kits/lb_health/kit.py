"""An answer to a load balancer's health check, given only where the hierarchy is in service.

Invariants:
- in service here means that a responder of this resource listens, with just these parameters;
- `remove` returns only when none is left, whatever its parameters were; nothing here needs AWS;
- the agent's event loop serves no stranger: the responder is a process of its own, which outlives the agent.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, ClassVar, TypeVar

from msgspec import Meta

from recovery_kits.contract import Check, CommandFailed, Finding, Kit, Tools
from recovery_kits.lb_health import processes
from recovery_kits.lb_health.responder import Duty

T = TypeVar("T")
END_LIMIT_S = 5.0  # for a killed process to be gone
EVERYWHERE = "0.0.0.0"  # nosec B104  # noqa: S104 (which of its addresses a load balancer asks is AWS's affair)
_LOOPBACK = {EVERYWHERE: "127.0.0.1", "::": "::1"}  # where to reach who listens everywhere


@dataclass(frozen=True, kw_only=True)
class LbHealthParameters:
    """[hierarchy.….resource.…] with kit = "lb-health"."""

    port: Annotated[
        int, Meta(description="The port that the target group's health check asks.", ge=1, le=65_535)
    ]
    path: Annotated[
        str | None,
        Meta(
            description="What an HTTP health check asks for: answered with 200. Without it connecting is the "
            "answer, as a TCP health check wants it.",
            pattern=r"^/[!-~]*\Z",
            examples=["/health"],
        ),
    ] = None
    address: Annotated[
        IPv4Address | IPv6Address | None,
        Meta(
            description="The address to listen on, which the load balancer asks; without it all of the "
            "node's IPv4 addresses."
        ),
    ] = None


class LbHealthKit(Kit[LbHealthParameters]):
    """A port that answers, e.g. GET /health on 8081."""

    kind = "lb-health"
    summary = "an answer to a load balancer's health check where the hierarchy is in service"
    Parameters: ClassVar[type[Any]] = LbHealthParameters

    def __init__(self, parameters: LbHealthParameters, tools: Tools) -> None:
        super().__init__(parameters, tools)
        # The loop's threads may all be waiting for DNS. One, so that what was cut short is over before the
        # next action begins.
        self._thread = ThreadPoolExecutor(1, self.kind)

    async def restore(self) -> None:
        """Have the responder listening; KitError when it can't, e.g. since another has the port."""
        if await self._listens():
            return
        await self._end("restore")
        program = (sys.executable, *processes.FLAGS, str(processes.PROGRAM))
        try:
            await self.tools.run(*program, self._owner, self._duty.text())
        except CommandFailed as error:
            raise self.error("restore", error.output.strip()) from error
        except OSError as error:
            raise self.error("restore", str(error)) from error

    async def remove(self) -> None:
        """End the responder; needs no network."""
        await self._end("remove")

    async def quick_check(self) -> Check:
        """Whether the responder is there and answers as it would answer the load balancer.

        Waits for that as long as it takes: the agent's time limit is what tells a hang.
        """
        duty = self._duty
        if not await self._listens():
            return Check.failed(f"nothing of ours listens on port {duty.port}")
        try:
            answer = await _ask(duty)
        except OSError as error:
            return Check.failed(f"port {duty.port} doesn't answer: {error.strerror or error}")
        if duty.path is not None and b" 200 " not in answer.partition(b"\r\n")[0]:
            return Check.failed(f"port {duty.port} answers {answer[:40]!r}")
        return Check.ok()

    async def validate(self) -> list[Finding]:
        """Whether the port can be had."""
        if await self._listens():
            return []
        duty = self._duty
        family = socket.AF_INET6 if ":" in duty.address else socket.AF_INET
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((duty.address, duty.port))  # it isn't listened on: nobody can connect
            except OSError as error:
                why = os.strerror(error.errno or 0)
                problem = f"can't listen on {duty.address} port {duty.port}: {why}"
                return [Finding(problem, f"`ss -ltnp sport = :{duty.port}` shows who does; or set address")]
        return []

    @property
    def _owner(self) -> str:
        """The name of this resource's responder, unique on this machine."""
        return str(self.tools.site.runtime_dir / self.kind / self.tools.tag)

    @property
    def _duty(self) -> Duty:
        wanted = self.parameters
        return Duty(str(wanted.address or EVERYWHERE), wanted.port, wanted.path)

    async def _listens(self) -> bool:
        """Whether a responder with just these parameters is there."""
        found = await self._in_thread(lambda: processes.responders(self._owner))
        return any(each.duty == self._duty.text() for each in found)

    async def _end(self, action: str) -> None:
        try:
            await self._in_thread(lambda: processes.end(self._owner, END_LIMIT_S))
        except OSError as error:
            raise self.error(action, f"the responder can't be ended: {error}") from error

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


async def _ask(duty: Duty) -> bytes:
    """Do what the load balancer does; what was answered. Raises OSError."""
    host = _LOOPBACK.get(duty.address, duty.address)
    reader, writer = await asyncio.open_connection(host, duty.port)
    try:
        if duty.path is not None:
            writer.write(f"GET {duty.path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return await reader.read(1_024)
    finally:
        writer.close()
