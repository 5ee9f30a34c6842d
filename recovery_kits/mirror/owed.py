"""What other nodes' copies may lack that no bitmap tells: what their relays had answered and not sent yet.

md takes an answered write for one that is on the leg, and forgets its bit. So in asynchronous mode this
is remembered beside it, durably: with which leg of our own as the source, which nodes had a relay, and
where that relay's record is. The record is below /run and is gone with the machine's life.

Keeps:
- a node is owed everything from before its leg is connected until it is known that less will do: a record
  that says what, or a relay that has ended with everything sent;
- a note about another leg is void: a leg that was copied to in full is another one.
"""

from __future__ import annotations

import asyncio
import errno
import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.relay.backlog import Report, is_kept, recorded
from recovery_kits.mirror.wishes import write_durably

_NOTHING_TELLS = ""
_POLL_S = 0.1
_STUCK_S = 15.0  # nothing has become durable at the target: it won't


class Owed:
    """One mirror's, on the node that is or was its source."""

    def __init__(self, note: Path, runtime: Path, log: Callable[[str], None]) -> None:
        self._note, self._runtime, self._log = note, runtime, log
        self._leg = ""  # the uuid of this node's
        self._nodes = dict[str, str]()  # -> the name of its relay's directory

    def __contains__(self, node: str) -> bool:
        return node in self._nodes

    @property
    def undrained(self) -> str:
        """The leg that was a source's when not everything had been sent; "": all had."""
        return self._leg if self._nodes else ""

    async def load(self, leg: UUID | None = None) -> None:
        """Read the note; with `leg`, of that one of ours. Raises OSError, for nonsense, too."""
        try:
            said = json.loads(await asyncio.to_thread(self._note.read_text))
            self._leg, self._nodes = str(said["leg"]), {str(k): str(v) for k, v in said["nodes"].items()}
        except FileNotFoundError:
            self._leg, self._nodes = "", {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            remedy = "full-resync every node, then remove the file"
            raise OSError(errno.EBADMSG, f"{self._note} can't be understood: {error}; {remedy}") from error
        if leg is not None and self._leg != str(leg):
            self._leg, self._nodes = str(leg), {}

    def room(self, node: str) -> Path:
        """A new directory for a relay to that node, in the place of those of no use; raises OSError."""
        directory = self._of(node) / secrets.token_hex(4)
        directory.mkdir(mode=0o700, parents=True)
        self._tidy(node, directory.name)
        return directory

    async def everything(self, *nodes: str) -> None:
        """From now on nothing tells what these nodes lack."""
        await self._keep({**self._nodes, **dict.fromkeys(nodes, _NOTHING_TELLS)})

    async def known(self, node: str, directory: Path) -> None:
        """From now on that relay's record tells, beside the bitmaps."""
        await self._keep({**self._nodes, node: directory.name})

    async def settle(self, node: str) -> None:
        """From now on the bitmaps tell everything."""
        if node in self._nodes:
            await self._keep({each: name for each, name in self._nodes.items() if each != node})

    def report(self, node: str) -> Report | None:
        """What its relay told last; None: there is none, or it has said nothing yet."""
        name = self._nodes.get(node)
        return Report.read(self._of(node) / name / "report") if name else None

    def lacking(self, node: str, data_at_bytes: int, chunk_bytes: int) -> Chunks | None:
        """Chunks that may have been on their way when its relay ended; None: nothing tells."""
        if node not in self._nodes:
            return Chunks()
        if not (name := self._nodes[node]):
            return None
        try:
            regions = list(recorded(self._of(node) / name / "record"))
        except (OSError, ValueError):
            return None
        return Chunks.of(
            (max(first - data_at_bytes, 0) // chunk_bytes, (last - data_at_bytes) // chunk_bytes)
            for first, last in regions
            if last >= data_at_bytes
        )

    async def drained(self, node: str) -> bool:
        """Wait until its relay has ended; False if not everything was sent, or nothing is being sent.

        What is lost then is the caller's to tell, before he says so by `everything`.
        """
        if not (name := self._nodes.get(node)) or not (self._of(node) / name).exists():
            return True  # none was started since the machine was
        loop, report = asyncio.get_running_loop(), self.report(node)
        until = loop.time() + _STUCK_S
        while self._is_alive(node):
            await asyncio.sleep(_POLL_S)
            before, report = report, self.report(node)
            if _left(report) != _left(before):
                until = loop.time() + _STUCK_S
            elif loop.time() > until:
                return False
        report = self.report(node)
        if report is None or not report.drained:
            return False
        await self.settle(node)
        return True

    def _is_alive(self, node: str) -> bool:
        name = self._nodes[node]
        try:
            return bool(name) and is_kept(self._of(node) / name / "record")
        except OSError:
            return False

    def _of(self, node: str) -> Path:
        return self._runtime / f"{self._note.stem}.{node}"

    def _tidy(self, node: str, new: str) -> None:
        for each in self._of(node).iterdir():
            if each.name not in {new, self._nodes.get(node)}:
                shutil.rmtree(each)

    async def _keep(self, nodes: dict[str, str]) -> None:
        await asyncio.to_thread(write_durably, self._note, json.dumps({"leg": self._leg, "nodes": nodes}))
        self._nodes = nodes


def _left(report: Report | None) -> int | None:
    """How much is still to be sent, in bytes."""
    return None if report is None else report.lag_bytes
