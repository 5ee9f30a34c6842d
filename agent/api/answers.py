"""What the API's endpoints share: how a request is read, and the shape of every answer.

What comes in is checked before the agent sees it, so bad input is never a 500.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from agent.api.reports import AnswerReport

T = TypeVar("T")

LARGEST_BODY_BYTES = 4_096
LARGEST_ID = 2**63 - 1  # what the store can count to


class Refused(Exception):
    """A request that can't be served: an HTTP status, what is wrong, what to do next."""

    def __init__(self, status: int, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.status, self.error, self.hint = status, error, hint


async def read_body(request: Request) -> bytes:
    """All of it; raises Refused when it is too long, or breaks off."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY_BYTES:
                raise Refused(413, f"the body is larger than {LARGEST_BODY_BYTES} bytes")
    except ClientDisconnect as exc:
        raise Refused(400, "the body broke off") from exc
    return bytes(body)


def decode(body: bytes, shape: type[T], hint: str) -> T:
    """A body in that shape, no body being the same as `{}`; raises Refused."""
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise Refused(400, f"the body can't be read: {exc}", hint) from exc


def read_number(request: Request, name: str, *, default: int, least: int, most: int) -> int:
    """A number of the query; raises Refused."""
    text = request.query_params.get(name, str(default))
    if text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID)) and least <= int(text) <= most:
        return int(text)
    raise Refused(400, f'{name}: "{text[:40]}" is not a number from {least} to {most}')


def to_json(report: object, status: int = 200) -> Response:
    """A report."""
    return Response(msgspec.json.encode(report) + b"\n", status, media_type="application/json")


def to_answer(answer: AnswerReport) -> Response:
    """A refusal is a whole answer too; 409 tells it from success."""
    return to_json(answer, 200 if answer.accepted else 409)


def _to_error(status: int, error: str, hint: str = "") -> Response:
    return to_json({"error": error, "hint": hint}, status)


async def on_refused(_request: Request, exc: Exception) -> Response:
    """Bad input."""
    assert isinstance(exc, Refused)
    return _to_error(exc.status, exc.error, exc.hint)


async def on_http(request: Request, exc: Exception) -> Response:
    """No such address, or not with this method."""
    assert isinstance(exc, HTTPException)
    if exc.status_code == 405:
        return _to_error(405, f"{request.url.path} doesn't take {request.method}")
    return _to_error(exc.status_code, f"{request.url.path}: {exc.detail}", "docs/cli.md lists the API")


async def on_timeout(_request: Request, _exc: Exception) -> Response:
    """Nobody answered in time."""
    error = "the agent gave no answer in time; what was asked may still be carried out"
    return _to_error(504, error, "`kage status` shows what became of it")


async def on_defect(_request: Request, _exc: Exception) -> Response:
    """The server logs the exception itself."""
    return _to_error(500, "the agent failed to answer: a defect", "journalctl -u kagemusha has the details")
