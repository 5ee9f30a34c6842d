"""An agent that only answers: what it says is set by the test, what it is asked is kept."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Generator
from pathlib import Path

from agent.api.reports import (
    AnswerReport,
    ConfigReport,
    EventView,
    HierarchyOnNode,
    HierarchyView,
    NodeView,
    PathView,
    ResourceOnNode,
    ResourceView,
    StatusReport,
    TimelineReport,
    WaitView,
)
from agent.api.server import serve
from agent.core.commands import DETAILS
from agent.core.messages import AskKit, Command

TAGS = ("ip-vip", "route-vip", "cyss_cbgrn", "cyde_5_0", "fs-dir1")  # parents first
KITS = ("ip", "route", "generic", "generic", "filesystem")


class FakeAgent:
    """Fulfils AgentFacade; `then` are statuses to show one after the other, the last one for good."""

    def __init__(self, *then: StatusReport) -> None:
        self.then = list(then) or [status()]
        self.events_kept: list[EventView] = []
        self.timelines_kept: list[TimelineReport] = []
        self.commands: list[Command] = []
        self.departed = False
        self.asked: list[tuple[str, int, int]] = []
        self.answer = AnswerReport(accepted=True, text="begun")
        self.details: dict[str, AnswerReport | None] = {}  # what the kit on each node tells; None: it hangs
        self.defect: Exception | None = None
        self.silent = False  # never answers a coroutine …
        self.thinking = threading.Event()  # … once this is set

    def status(self) -> StatusReport:
        if self.defect:
            raise self.defect
        return self.then.pop(0) if len(self.then) > 1 else self.then[0]

    async def events(self, limit: int, after: int) -> list[EventView]:
        await self._think()
        self.asked.append(("events", limit, after))
        later = [event for event in self.events_kept if event.id > after]
        return later[:limit] if after else later[-limit:]

    async def timelines(self, limit: int) -> list[TimelineReport]:
        await self._think()
        self.asked.append(("timelines", limit, 0))
        return self.timelines_kept[:limit]

    def config(self) -> ConfigReport:
        return ConfigReport(
            source="/etc/kagemusha/cluster.toml",
            digest="0123456789ab",
            loaded_time=1_795_000_000.0,
            text='[cluster]\nname = "garoon"\n',
            notes=['quorum is "none"'],
        )

    async def reload_config(self) -> AnswerReport:
        await self._think()
        return self.answer

    def depart(self) -> AnswerReport:
        self.departed = True
        return self.answer

    async def command(self, command: Command) -> AnswerReport:
        await self._think()
        if isinstance(command, AskKit) and command.verb == DETAILS:
            return await self._tell(command.node or "")
        self.commands.append(command)
        return self.answer

    async def _tell(self, node: str) -> AnswerReport:
        answer = self.details.get(node, AnswerReport(accepted=False, text=f"{node} is lost"))
        if answer is None:
            await asyncio.Event().wait()
        assert answer is not None
        return answer

    async def _think(self) -> None:
        self.thinking.set()
        if self.silent:
            await asyncio.Event().wait()


@contextlib.contextmanager
def served(agent: FakeAgent, socket_path: Path) -> Generator[None, None, None]:
    """The agent behind a real Unix socket, in a thread of its own, for as long as the block lasts."""
    loop = asyncio.new_event_loop()
    serving = loop.create_task(serve(agent, socket_path))
    thread = threading.Thread(target=_run, args=(loop, serving))
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(until_it_listens(socket_path), loop).result(10)
        yield
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join(10)
        assert not thread.is_alive(), "the server did not end"
        loop.close()


def _run(loop: asyncio.AbstractEventLoop, serving: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(serving)


async def until_it_listens(socket_path: Path) -> None:
    """Return once somebody accepts connections there."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(str(socket_path))
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(0.01)
                continue
            writer.close()
            await writer.wait_closed()
            return


def path(
    name: str = "eni-0", state: str = "up", rtt_ms: float | None = 0.82, loss: float | None = 0.0
) -> PathView:
    """A comm path from db-01 to db-02."""
    return PathView(
        name=name,
        priority=int(name[-1]) + 1,
        state=state,
        local="10.0.3.4",
        remote="10.0.6.4",
        rtt_ms=rtt_ms,
        loss_percent=loss,
    )


def peer(standing: str = "alive", comm: str = "up", paths: list[PathView] | None = None) -> NodeView:
    """db-02 as db-01 sees it."""
    both = [path("eni-0"), path("eni-1", rtt_ms=1.04)]
    return NodeView(
        name="db-02",
        standing=standing,
        comm=comm,
        paths=both if paths is None else paths,
        config_digest="0123456789ab",
        version="0.1.0",
        keys=["1a2b3c4d"],
    )


def resources(
    here: dict[str, ResourceOnNode] | str = "ISP", there: dict[str, ResourceOnNode] | str = "OSU"
) -> list[ResourceView]:
    """The reference hierarchy: one state for all on a node, or one for each tag (others OSU)."""

    def on(node: dict[str, ResourceOnNode] | str, tag: str) -> ResourceOnNode:
        if isinstance(node, str):
            return ResourceOnNode(state=node)
        return node.get(tag, ResourceOnNode(state="OSU"))

    children = [*((tag,) for tag in TAGS[1:]), ()]
    return [
        ResourceView(
            tag=tag, kit=kit, depends_on=list(child), nodes={"db-01": on(here, tag), "db-02": on(there, tag)}
        )
        for tag, kit, child in zip(TAGS, KITS, children, strict=True)
    ]


def hierarchy(
    owner: str | None = "db-01",
    phases: tuple[str, str] = ("running", "stopped"),
    *,
    held: bool = False,
    why_not: tuple[str, str] = ("", ""),
    waits: tuple[WaitView | None, WaitView | None] = (None, None),
    tree: list[ResourceView] | None = None,
    unattended: bool = False,
) -> HierarchyView:
    """groupware on db-01 and db-02; a node with a `why_not` isn't eligible."""
    nodes = zip(("db-01", "db-02"), phases, why_not, waits, strict=True)
    return HierarchyView(
        name="groupware",
        owner=owner,
        term=3,
        held=held,
        switchback="intelligent",
        nodes={
            name: HierarchyOnNode(priority=rank, phase=phase, eligible=not why, why_not=why, waits=wait)
            for rank, (name, phase, why, wait) in enumerate(nodes, 1)
        },
        resources=resources() if tree is None else tree,
        unattended=unattended,
    )


def status(
    view: HierarchyView | None = None, other: NodeView | None = None, warnings: list[str] | None = None
) -> StatusReport:
    """The reference cluster as db-01 sees it; all is well unless said otherwise."""
    beyond = other or peer()
    own = "up" if beyond.comm == "up" else "warning"
    me = NodeView(
        name="db-01",
        standing="self",
        comm=own,
        config_digest="0123456789ab",
        version="0.1.0",
        keys=["1a2b3c4d"],
    )
    return StatusReport(
        cluster="garoon",
        node="db-01",
        version="0.1.0",
        config_digest="0123456789ab",
        quorum="none",
        time=1_795_000_000.0,
        warnings=warnings or [],
        nodes=[me, beyond],
        hierarchies=[view or hierarchy()],
    )


def event(number: int, severity: str = "info", text: str = "db-02 is alive") -> EventView:
    """One event of db-01."""
    return EventView(
        id=number,
        time=1_795_000_000.0 + number,
        at_ms=1_000 * number,
        node="db-01",
        kind="peer-alive" if severity == "info" else "peer-lost",
        severity=severity,
        text=text,
        peer="db-02",
    )
