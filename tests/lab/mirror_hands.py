"""A mirror's kit in a guest, without an agent: `python -m tests.lab.mirror_hands JSON`.

JSON is {"node": …, "parameters": {…}, "dead_after_ms": …}. It answers requests (`tests.lab.hands`):
{"do": "restore"} and the kit's other actions, {"do": "attend"}, {"do": "stand_by"} and {"do":
"idle"} for the duty from then on, {"do": "control", "verb": …, "arguments": {…}}, {"do": "details"},
{"do": "voters", "open": false, "in_sync": […]}: what the voters do from then on; their answer tells what
they were asked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import sys
import time
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Any

from agent.runtime.process import Runner
from recovery_kits.contract import Site, Tools
from recovery_kits.mirror import MirrorKit
from recovery_kits.mirror.parameters import MirrorParameters
from tests.lab.hands import serve
from tests.lab.lab import ADDRESSES

CLUSTER, TAG = "lab", "mirror-dir1"


class Voters:
    """A `Replicas` whose majority answers while it is `open`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.listed: tuple[str, ...] = ()
        self.asked: list[list[str]] = []

    def in_sync(self) -> tuple[str, ...]:
        """What was agreed last."""
        return self.listed

    async def agree(self, nodes: Collection[str]) -> None:
        """Returns once they answer."""
        self.asked.append(sorted(nodes))
        print(f"{time.monotonic():.2f} asked to agree on {sorted(nodes)}", flush=True)
        await self.open.wait()
        self.listed = tuple(sorted(nodes))
        print(f"{time.monotonic():.2f} agreed on {sorted(nodes)}", flush=True)


class Hands:
    """The kit, and the duty that it has now."""

    def __init__(self, node: str, parameters: dict[str, Any], dead_after_ms: int, nodes: list[str]) -> None:
        self.voters = Voters()
        site = Site(
            cluster=CLUSTER,
            nodes={each: ADDRESSES[each] for each in nodes},
            dead_after_ms=dead_after_ms,
            state_dir=Path("/mnt/disk/state"),
            runtime_dir=Path("/run/kagemusha"),
        )
        tools = Tools(
            tag=TAG,
            node=node,
            run=Runner(Path("/run/kagemusha/output")),
            aws=None,  # type: ignore[arg-type]
            replicas=self.voters,
            site=site,
            secrets=lambda purpose: (hashlib.sha256(purpose.encode()).digest(),),
            log=lambda line: print(f"{time.monotonic():.2f} {line}", flush=True),
        )
        self.kit = MirrorKit(MirrorParameters(**{**parameters, "disk": Path(parameters["disk"])}), tools)
        self._duty: asyncio.Task[None] | None = None
        self._broken = ""

    async def do(self, request: dict[str, Any]) -> Any:
        """What a request asks."""
        match request:
            case {"do": "attend" | "stand_by" | "idle" as duty}:
                return await self._change_duty(duty)
            case {"do": "restore" | "remove" | "force_remove" | "recover" as action}:
                await self._change_duty("idle")
                return await getattr(self.kit, action)()
            case {"do": "quick_check"}:
                return dataclasses.asdict(await self.kit.quick_check()) | {"health": None}
            case {"do": "validate"}:
                return [dataclasses.asdict(each) for each in await self.kit.validate()]
            case {"do": "control", "verb": verb, "arguments": arguments}:
                return await self.kit.control(verb, arguments)
            case {"do": "details"}:
                return {**self.kit.details(), "broken": self._broken}
            case {"do": "voters"}:
                return self._set_voters(request)
        raise AssertionError(request)

    async def _change_duty(self, duty: str) -> None:
        if self._duty is not None:
            self._duty.cancel()
            await asyncio.wait({self._duty})
            self._duty = None
        if duty != "idle":
            work = self.kit.attend() if duty == "attend" else self.kit.stand_by()
            self._broken = ""
            self._duty = asyncio.create_task(work)
            self._duty.add_done_callback(self._ended)

    def _ended(self, duty: asyncio.Task[None]) -> None:
        if not duty.cancelled() and (error := duty.exception()) is not None:
            self._broken = "".join(traceback.format_exception(error))
            print("the duty broke:", file=sys.stderr)
            sys.excepthook(type(error), error, error.__traceback__)

    def _set_voters(self, request: dict[str, Any]) -> dict[str, Any]:
        if "in_sync" in request:
            self.voters.listed = tuple(request["in_sync"])
        if request.get("open", self.voters.open.is_set()):
            self.voters.open.set()
        else:
            self.voters.open.clear()
        return {"asked": self.voters.asked, "in_sync": self.voters.listed}


if __name__ == "__main__":
    asyncio.run(serve(Hands(**json.loads(sys.argv[1])).do))
