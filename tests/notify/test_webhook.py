"""Webhooks over real sockets: signed, sealed, bounded, and silent about what is secret."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config.notify import WebhookParameters
from agent.notify.contract import NotSent
from agent.notify.webhook import SIGNATURE, Webhook
from tests.notify.messages import message
from tests.notify.servers import odd_server, server_context, web_server
from tests.runtime.waiting import on_loop, until

TOKEN = "T0KEN"


def webhook(
    port: int,
    *,
    scheme: str = "http",
    secret_file: Path | None = None,
    ca_file: Path | None = None,
    limit_ms: int = 10_000,
) -> Webhook:
    url = f"{scheme}://127.0.0.1:{port}/hook/{TOKEN}?to=ops"
    return Webhook(WebhookParameters(url=url, secret_file=secret_file, ca_file=ca_file, limit_ms=limit_ms))


async def refused(hook: Webhook) -> str:
    with pytest.raises(NotSent) as caught:
        await hook.send(message())
    assert TOKEN not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None
    return str(caught.value)


@on_loop
async def test_a_message_is_posted_as_json_and_signed(secret_file: Path) -> None:
    with web_server() as web:
        await webhook(web.port, secret_file=secret_file).send(message())
        await webhook(web.port).send(message())
    signed, plain = web.posts
    assert signed.path == f"/hook/{TOKEN}?to=ops"
    assert signed.headers["Content-Type"] == "application/json"
    assert signed.headers["Host"] == f"127.0.0.1:{web.port}"
    assert json.loads(signed.body)["kind"] == "resource-failed"
    expected = hmac.new(b"swordfish", signed.body, hashlib.sha256).hexdigest()
    assert signed.headers[SIGNATURE] == f"sha256={expected}"
    assert SIGNATURE not in plain.headers
    assert b"swordfish" not in signed.body


@on_loop
async def test_https_goes_to_whom_a_trusted_certificate_names(certificate: tuple[Path, Path]) -> None:
    with web_server(server_context(certificate)) as web:
        await webhook(web.port, scheme="https", ca_file=certificate[0]).send(message())
        assert len(web.posts) == 1
        assert "certificate isn't trusted: self-signed" in await refused(webhook(web.port, scheme="https"))
        assert len(web.posts) == 1


@on_loop
async def test_a_certificate_for_another_name_is_refused(certificate: tuple[Path, Path]) -> None:
    with web_server(server_context(certificate)) as web:
        url = f"https://localhost:{web.port}/"
        why = await refused(Webhook(WebhookParameters(url=url, ca_file=certificate[0])))
    assert "isn't trusted" in why
    assert not web.posts


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (500, "answers 500 (Internal Server Error)"),
        (301, "answers 301 (Moved Permanently) (write the address it leads to)"),
        (403, "(see whether both sides have the same secret)"),
        (599, "answers 599 (unknown)"),
    ],
)
@on_loop
async def test_only_2xx_is_success_and_nothing_is_followed(status: int, words: str) -> None:
    with web_server() as web:
        web.status = status
        assert words in await refused(webhook(web.port))
        assert len(web.posts) == 1
        web.status = 204
        await webhook(web.port).send(message())


def trickle(connection: socket.socket) -> None:
    """A byte now and then, for ever."""
    while connection.send(b"H"):
        time.sleep(0.02)


def silence(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def endless_hundreds(connection: socket.socket) -> None:
    while connection.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 100):
        pass


@pytest.mark.parametrize("manners", [trickle, silence, endless_hundreds])
@on_loop
async def test_no_server_keeps_a_try_or_its_thread_beyond_the_limit(
    manners: Callable[[socket.socket], None],
) -> None:
    with odd_server(manners) as port:
        hook = webhook(port, limit_ms=200)
        for _ in range(3):  # one that kept its thread would be told of as an earlier access
            why = await refused(hook)
            assert "didn't answer within 0.2 s" in why or "timed out" in why
            await until(lambda: all(each.done() for each in hook._threads._hanging))


@pytest.mark.parametrize(
    "said", [b"", b"\x16\x03\x01", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"x" * 200_000]
)
@on_loop
async def test_garbage_is_no_answer(said: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(said)

    with odd_server(answer) as port:
        await refused(webhook(port))


@on_loop
async def test_nobody_there_is_told_without_the_path() -> None:
    with web_server() as web:
        pass
    assert "Connection refused" in await refused(webhook(web.port))


@pytest.mark.parametrize(
    ("mode", "content", "words"),
    [
        (0o444, b"x\n", "has mode 0444 (chmod 0400"),
        (0o400, b"", "has no first line"),
        (0o400, b"\xff\xfe\n", "is not UTF-8 text"),
        (0o400, b"x" * 5_000, "has no first line of 1 to 4096 bytes"),
    ],
)
@on_loop
async def test_a_secret_that_others_can_read_or_that_is_none_isnt_used(
    tmp_path: Path, mode: int, content: bytes, words: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    with web_server() as web:
        assert words in await refused(webhook(web.port, secret_file=path))
        assert "can't be opened" in await refused(webhook(web.port, secret_file=tmp_path / "none"))
        assert "isn't a" in (await refused(webhook(web.port, secret_file=tmp_path))).replace(
            "is not", "isn't"
        )
    assert not web.posts


def test_a_url_is_in_no_repr() -> None:
    assert TOKEN not in repr(WebhookParameters(url=f"https://hooks.example.com/{TOKEN}"))
