"""The agent's HTTP API, on a Unix socket that only its owner may open.

Every answer is JSON: a report, or `{"error": …, "hint": …}` with a fitting status. What comes in is
checked before the agent sees it, so bad input is never a 500; every wait has an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import stat
from collections.abc import Awaitable, Generator
from pathlib import Path
from typing import TypeVar

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from agent.api.contract import ANSWER_WITHIN_S, LARGEST_LIMIT, AgentFacade
from agent.api.lookup import find_hierarchy, hierarchy_of_resource
from agent.api.reports import AnswerReport, HierarchyView
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.messages import BringInService, Confirm, Recover, TakeOutOfService

T = TypeVar("T")

LARGEST_BODY_BYTES = 4_096
LARGEST_CROWD = 64  # connections at a time; whoever comes then gets a 503, in plain text
LARGEST_ID = 2**63 - 1  # what the store can count to
END_WITHIN_S = 1  # requests still open when the agent ends are cut after this long


class _Refused(Exception):
    """A request that can't be served: an HTTP status, what is wrong, what to do next."""

    def __init__(self, status: int, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.status, self.error, self.hint = status, error, hint


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
        return _json(self._agent.status())

    async def events(self, request: Request) -> Response:
        limit = _number(request, "limit", default=100, least=1, most=LARGEST_LIMIT)
        after = _number(request, "after", default=0, least=0, most=LARGEST_ID)
        return _json(await self._bounded(self._agent.events(limit, after)))

    async def timelines(self, request: Request) -> Response:
        limit = _number(request, "limit", default=1, least=1, most=LARGEST_LIMIT)
        return _json(await self._bounded(self._agent.timelines(limit)))

    async def config(self, _request: Request) -> Response:
        return _json(self._agent.config())

    async def reload_config(self, _request: Request) -> Response:
        return _answer(await self._bounded(self._agent.reload_config()))

    async def in_service(self, request: Request) -> Response:
        wanted = _decode(
            await self._bounded(_body(request)), _InService, 'send {"node": "NAME"} or {"node": null}'
        )
        hierarchy = self._hierarchy(request.path_params["name"])
        if wanted.node is not None and wanted.node not in hierarchy.nodes:
            raise _Refused(
                400,
                f'{hierarchy.name} can\'t run on a node called "{wanted.node}"',
                f"it runs on {' or '.join(hierarchy.nodes)}",
            )
        node = None if wanted.node is None else NodeId(wanted.node)
        off = None if wanted.owner_is_off is None else NodeId(wanted.owner_is_off)
        command = BringInService(hierarchy=HierarchyId(hierarchy.name), node=node, owner_is_off=off)
        return _answer(await self._bounded(self._agent.command(command)))

    async def out_of_service(self, request: Request) -> Response:
        hierarchy = self._hierarchy(request.path_params["name"])
        command = TakeOutOfService(hierarchy=HierarchyId(hierarchy.name))
        return _answer(await self._bounded(self._agent.command(command)))

    async def confirm(self, request: Request) -> Response:
        body = await self._bounded(_body(request))
        said = _decode(body, _Confirm, 'send {"take": true} or {"take": false}')
        hierarchy = self._hierarchy(request.path_params["name"])
        command = Confirm(hierarchy=HierarchyId(hierarchy.name), take=said.take)
        return _answer(await self._bounded(self._agent.command(command)))

    async def recover(self, request: Request) -> Response:
        tag = request.path_params["tag"]
        hierarchy = hierarchy_of_resource(self._agent.status(), tag)
        if hierarchy is None:
            raise _Refused(404, f'no resource has the tag "{tag}"', "`kage status` shows the tags")
        command = Recover(hierarchy=HierarchyId(hierarchy.name), tag=Tag(tag))
        return _answer(await self._bounded(self._agent.command(command)))

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
            raise _Refused(404, f'nothing is called "{name}"', "`kage status` shows hierarchies and tags")
        return hierarchy


def _application(api: _Endpoints) -> Starlette:
    return Starlette(
        routes=[
            Route("/v1/status", api.status),
            Route("/v1/events", api.events),
            Route("/v1/timelines", api.timelines),
            Route("/v1/config", api.config),
            Route("/v1/config/reload", api.reload_config, methods=["POST"]),
            Route("/v1/hierarchies/{name:path}/in-service", api.in_service, methods=["POST"]),
            Route("/v1/hierarchies/{name:path}/out-of-service", api.out_of_service, methods=["POST"]),
            Route("/v1/hierarchies/{name:path}/confirm", api.confirm, methods=["POST"]),
            Route("/v1/resources/{tag:path}/recover", api.recover, methods=["POST"]),
        ],
        exception_handlers={
            _Refused: _on_refused,
            HTTPException: _on_http,
            TimeoutError: _on_timeout,
            Exception: _on_defect,
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
                _application(api),
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


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY_BYTES:
                raise _Refused(413, f"the body is larger than {LARGEST_BODY_BYTES} bytes")
    except ClientDisconnect as exc:
        raise _Refused(400, "the body broke off") from exc
    return bytes(body)


def _decode(body: bytes, shape: type[T], hint: str) -> T:
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise _Refused(400, f"the body can't be read: {exc}", hint) from exc


def _number(request: Request, name: str, *, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID)) and least <= int(text) <= most:
        return int(text)
    raise _Refused(400, f'{name}: "{text[:40]}" is not a number from {least} to {most}')


def _json(report: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(report) + b"\n", status, media_type="application/json")


def _answer(answer: AnswerReport) -> Response:
    """A refusal is a whole answer too; 409 tells it from success."""
    return _json(answer, 200 if answer.accepted else 409)


def _error(status: int, error: str, hint: str = "") -> Response:
    return _json({"error": error, "hint": hint}, status)


async def _on_refused(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, _Refused)
    return _error(exc.status, exc.error, exc.hint)


async def _on_http(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if exc.status_code == 405:
        return _error(405, f"{request.url.path} doesn't take {request.method}")
    return _error(exc.status_code, f"{request.url.path}: {exc.detail}", "docs/cli.md lists the API")


async def _on_timeout(_request: Request, _exc: Exception) -> Response:
    error = "the agent gave no answer in time; what was asked may still be carried out"
    return _error(504, error, "`kage status` shows what became of it")


async def _on_defect(_request: Request, _exc: Exception) -> Response:
    """The server logs the exception itself."""
    return _error(500, "the agent failed to answer: a defect", "journalctl -u kagemusha has the details")
