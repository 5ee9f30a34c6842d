"""The target's server of one leg: it serves one block device to the peers, and nobody else.

Invariants:
- it outlives the agent: a session of its own; an agent that restarts finds it by its command line;
- what a running server was told is known from there too, and other parameters mean another server;
- stopped means that no process of it is left which could still write.

listener.py is the program. Needs root. The directory is to be in memory (/run).
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from recovery_kits.contract import CommandFailed, Run
from recovery_kits.mirror.listener import Export
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.relay.order import Credentials
from recovery_kits.mirror.serving import FLAGS, LISTENER, Serving, kill, serving

_DYING_S = 2.0  # a killed process gets that in any case


class Server:
    """The server of one export; a directory of the export's name is there while it is."""

    def __init__(
        self, export: Export, runtime: Path, run: Run, credentials: Credentials | None = None
    ) -> None:
        """`credentials` are for an export with TLS."""
        assert export.tls == (credentials is not None)
        self.export, self._run, self._credentials = export, run, credentials
        self._directory = runtime / export.name

    async def start(self, *, limit_s: float = 60.0) -> None:
        """Have it listening with these parameters. Raises NbdError.

        One with other parameters is stopped first, and so is one of which only a client's server is left.
        """
        if await self.running():
            return
        await self.stop()
        await self.renew()
        command = (sys.executable, *FLAGS, str(LISTENER), str(self._directory), self.export.text())
        try:
            async with asyncio.timeout(limit_s):
                await self._run(*command)
        except CommandFailed as error:
            raise self._error(error.output.strip()) from error
        except TimeoutError:
            raise self._error(f"its server doesn't listen after {limit_s:g} s") from None
        except OSError as error:
            raise self._error(str(error)) from error

    async def renew(self) -> None:
        """Have the next client served with the credentials of now; raises OSError."""
        if self._credentials is not None:
            await asyncio.to_thread(_furnish, self._directory, self._credentials)

    async def running(self) -> bool:
        """Whether a server with just these parameters listens."""
        return any(each.listens == self.export.text() for each in await self._processes())

    async def stop(self, *, limit_s: float = 5.0) -> None:
        """Return when no process of this export's server is left, whatever its parameters were.

        Raises NbdError when one can't be killed in time: it waits for the device in the kernel, and
        may still write. Every answered write is durable.
        """
        until = asyncio.get_running_loop().time() + limit_s
        while processes := await self._processes():  # again: a client may have come meanwhile
            left_s = until - asyncio.get_running_loop().time()
            await kill(processes, limit_s=max(left_s, _DYING_S))  # looking for them may have taken it all
        with suppress(FileNotFoundError):
            shutil.rmtree(self._directory)

    async def _processes(self) -> list[Serving]:
        return await serving(self._directory)

    def _error(self, reason: str) -> NbdError:
        return NbdError(self.export.name, reason)


def _furnish(directory: Path, credentials: Credentials) -> None:
    """The files that nbdkit-tls(1) names; a client that comes in between is refused, and comes again."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in (
        ("server-key.pem", credentials.private_key),
        ("server-cert.pem", credentials.certificate),
        ("ca-cert.pem", credentials.trusted),
    ):
        file = directory / name
        if not file.exists() or file.read_text() != content:
            new = file.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_text(content)
            new.replace(file)
