"""A chain of resources in a guest without an agent: `python -m tests.lab.kit_hands JSON`.

JSON is {"node": …, "cluster": …, "resources": [[tag, {"kit": …, its keys as in the TOML}], …]}, the lowest
first. It answers requests (`tests.lab.hands`): {"do": "restore"}, bottom up; {"do": "remove"}, top down;
{"do": "quick_check"}: tag -> "" or what is wrong; {"do": "validate"}: tag -> problems; {"do": "recover",
"tag": …}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from agent.config.reader import read
from agent.config.values import Problems
from agent.runtime.process import Runner
from recovery_kits.contract import Kit, Site, Tools
from recovery_kits.registry import kits
from tests.lab.hands import serve


class Chain:
    """The kits, by tag, the lowest first."""

    def __init__(self, node: str, cluster: str, resources: list[tuple[str, dict[str, Any]]]) -> None:
        run = Runner(Path("/run/kagemusha/output"))
        self._kits: dict[str, Kit[Any]] = {}
        for tag, table in resources:
            kind = kits()[table.pop("kit")]
            problems = Problems({})
            parameters = read(kind.Parameters, table, (tag,), problems)
            assert parameters is not None, problems.sorted()
            tools = Tools(
                tag=tag,
                node=node,
                run=run,
                aws=None,  # type: ignore[arg-type]
                site=Site(cluster=cluster),
                log=lambda line, tag=tag: print(f"{time.monotonic():.2f} {tag}: {line}", flush=True),  # type: ignore[misc]
            )
            self._kits[tag] = kind(parameters, tools)

    async def do(self, request: dict[str, Any]) -> Any:
        """What a request asks."""
        match request:
            case {"do": "restore"}:
                for kit in self._kits.values():
                    await kit.restore()
            case {"do": "remove"}:
                for kit in reversed(self._kits.values()):
                    await kit.remove()
            case {"do": "recover", "tag": tag}:
                await self._kits[tag].recover()
            case {"do": "quick_check"}:
                return {tag: (await kit.quick_check()).why for tag, kit in self._kits.items()}
            case {"do": "validate"}:
                return {
                    tag: [each.problem for each in await kit.validate()] for tag, kit in self._kits.items()
                }
            case _:
                raise AssertionError(request)
        return None


if __name__ == "__main__":
    asyncio.run(serve(Chain(**json.loads(sys.argv[1])).do))
