"""The agent's HTTP API, on a Unix socket that only its owner may open.

Every answer but the metrics is JSON: a report, or `{"error": …, "hint": …}` with a fitting status. Every wait
has an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import stat
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import TypeVar

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.api.answers import (
    LARGEST_ID,
    Refused,
    decode,
    on_defect,
    on_http,
    on_refused,
    on_timeout,
    read_body,
    read_number,
    to_answer,
    to_json,
)
from agent.api.contract import ANSWER_WITHIN_S, LARGEST_LIMIT, AgentFacade
from agent.api.lookup import find_hierarchy, hierarchy_of_resource
from agent.api.metrics import metrics
from agent.api.mirror_asking import own_mirrors
from agent.api.mirror_endpoints import MirrorEndpoints
from agent.api.reports import HierarchyView
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.messages import BringInService, Confirm, Recover, TakeOutOfService

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]

LARGEST_CROWD = 64  # connections at a time; whoever comes then gets a 503, in plain text
END_WITHIN_S = 1  # requests still open when the agent ends are cut after this long


class _InService(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an in-service request; node None: the one that fits best."""

    node: str | None = None
    owner_is_off: str | None = None


class _Confirm(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an answer to whether a lost owner's hierarchy shall be taken over."""

    take: bool


class _Endpoints:
    """One method for each route."""

    def __init__(self, agent: AgentFacade) -> None:
        self._agent = agent
        self._waits: set[asyncio.Timeout] = set()

    def end(self) -> None:
        """Answer at once what still waits: the agent ends."""
        for wait in [wait for wait in self._waits if not wait.expired()]:
            wait.reschedule(asyncio.get_running_loop().time())

    async def status(self, _request: Request) -> Response:
        return to_json(self._agent.status())

    async def events(self, request: Request) -> Response:
        limit = read_number(request, "limit", default=100, least=1, most=LARGEST_LIMIT)
        after = read_number(request, "after", default=0, least=0, most=LARGEST_ID)
        return to_json(await self._bounded(self._agent.events(limit, after)))

    async def timelines(self, request: Request) -> Response:
        limit = read_number(request, "limit", default=1, least=1, most=LARGEST_LIMIT)
        return to_json(await self._bounded(self._agent.timelines(limit)))

    async def config(self, _request: Request) -> Response:
        return to_json(self._agent.config())

    async def reload_config(self, _request: Request) -> Response:
        return to_answer(await self._bounded(self._agent.reload_config()))

    async def depart(self, _request: Request) -> Response:
        return to_answer(self._agent.depart())

    async def in_service(self, request: Request) -> Response:
        wanted = decode(
            await self._bounded(read_body(request)), _InService, 'send {"node": "NAME"} or {"node": null}'
        )
        hierarchy = self._hierarchy(request.path_params["name"])
        if wanted.node is not None and wanted.node not in hierarchy.nodes:
            raise Refused(
                400,
                f'{hierarchy.name} can\'t run on a node called "{wanted.node}"',
                f"it runs on {' or '.join(hierarchy.nodes)}",
            )
        node = None if wanted.node is None else NodeId(wanted.node)
        off = None if wanted.owner_is_off is None else NodeId(wanted.owner_is_off)
        command = BringInService(hierarchy=HierarchyId(hierarchy.name), node=node, owner_is_off=off)
        return to_answer(await self._bounded(self._agent.command(command)))

    async def out_of_service(self, request: Request) -> Response:
        hierarchy = self._hierarchy(request.path_params["name"])
        command = TakeOutOfService(hierarchy=HierarchyId(hierarchy.name))
        return to_answer(await self._bounded(self._agent.command(command)))

    async def confirm(self, request: Request) -> Response:
        body = await self._bounded(read_body(request))
        said = decode(body, _Confirm, 'send {"take": true} or {"take": false}')
        hierarchy = self._hierarchy(request.path_params["name"])
        command = Confirm(hierarchy=HierarchyId(hierarchy.name), take=said.take)
        return to_answer(await self._bounded(self._agent.command(command)))

    async def recover(self, request: Request) -> Response:
        tag = request.path_params["tag"]
        hierarchy = hierarchy_of_resource(self._agent.status(), tag)
        if hierarchy is None:
            raise Refused(404, f'no resource has the tag "{tag}"', "`kage status` shows the tags")
        command = Recover(hierarchy=HierarchyId(hierarchy.name), tag=Tag(tag))
        return to_answer(await self._bounded(self._agent.command(command)))

    async def metrics(self, _request: Request) -> Response:
        status = self._agent.status()
        text = metrics(status, await own_mirrors(self._agent, status))
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    def within_limit(self, endpoint: Endpoint) -> Endpoint:
        """An endpoint that takes no longer than an answer may."""

        async def answer(request: Request) -> Response:
            return await self._bounded(endpoint(request))

        return answer

    async def _bounded(self, answer: Awaitable[T]) -> T:
        async with asyncio.timeout(ANSWER_WITHIN_S) as wait:
            self._waits.add(wait)
            try:
                return await answer
            finally:
                self._waits.discard(wait)

    def _hierarchy(self, name: str) -> HierarchyView:
        hierarchy = find_hierarchy(self._agent.status(), name)
        if hierarchy is None:
            raise Refused(404, f'nothing is called "{name}"', "`kage status` shows hierarchies and tags")
        return hierarchy


def _application(api: _Endpoints, mirrors: MirrorEndpoints) -> Starlette:
    within = api.within_limit
    return Starlette(
        routes=[
            Route("/v1/status", api.status),
            Route("/v1/events", api.events),
            Route("/v1/timelines", api.timelines),
            Route("/v1/config", api.config),
            Route("/v1/config/reload", api.reload_config, methods=["POST"]),
            Route("/v1/depart", api.depart, methods=["POST"]),
            Route("/v1/hierarchies/{name:path}/in-service", api.in_service, methods=["POST"]),
            Route("/v1/hierarchies/{name:path}/out-of-service", api.out_of_service, methods=["POST"]),
            Route("/v1/hierarchies/{name:path}/confirm", api.confirm, methods=["POST"]),
            Route("/v1/resources/{tag:path}/recover", api.recover, methods=["POST"]),
            Route("/v1/metrics", within(api.metrics)),
            Route("/v1/mirrors", within(mirrors.all)),
            Route("/v1/mirrors/{tag}", within(mirrors.one)),
            Route("/v1/mirrors/{tag}/{verb}", within(mirrors.ask), methods=["POST"]),
        ],
        exception_handlers={
            Refused: on_refused,
            HTTPException: on_http,
            TimeoutError: on_timeout,
            Exception: on_defect,
        },
    )


async def serve(agent: AgentFacade, socket_path: Path) -> None:
    """Serve until cancelled; then end within about `END_WITHIN_S` and remove the socket.

    A stale socket is replaced. Raises OSError (EADDRINUSE) when another agent answers there.
    """
    api = _Endpoints(agent)
    with _listening(socket_path) as listener:
        server = _Embedded(
            uvicorn.Config(
                _application(api, MirrorEndpoints(agent)),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                limit_concurrency=LARGEST_CROWD,
                timeout_graceful_shutdown=END_WITHIN_S,
            )
        )
        serving = asyncio.create_task(server.serve([listener]), name="api")
        try:
            await asyncio.shield(serving)
        finally:
            api.end()
            server.ending.set()
            await serving


class _Embedded(uvicorn.Server):
    """A server inside somebody else's event loop: signals are the agent's business.

    uvicorn's own loop looks around ten times a second, which costs 0.2 % of a core; this one sleeps.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ending = asyncio.Event()

    async def main_loop(self) -> None:
        await self.ending.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.contextmanager
def _listening(path: Path) -> Generator[socket.socket, None, None]:
    _remove_stale(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        try:
            path.chmod(0o600)  # nobody can connect before the server listens
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Remove the socket that a dead agent left; a living agent's and other files are left alone."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "not a socket", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except (TimeoutError, BlockingIOError):
            pass  # somebody listens, too busy to answer
    raise OSError(errno.EADDRINUSE, "another agent answers there", str(path))
