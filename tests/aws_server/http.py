"""A WSGI listener in a thread that ends completely: no thread and no socket outlives `close`."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as AWS keeps them
    disable_nagle_algorithm = True  # head and body are two writes: 40 ms of delayed ACK otherwise

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 (werkzeug's name for it)
        """Say nothing: the journal has it."""


class _Server(ThreadedWSGIServer):
    daemon_threads = False  # closing joins them

    def __init__(self, host: str, port: int, app: App) -> None:
        super().__init__(host, port, app, _Handler)
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        with self._open_lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Break all connections, so that the threads serving them end."""
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the client was quicker
                    connection.shutdown(socket.SHUT_RDWR)


class Listener:
    """Serves `app` from construction until `close`."""

    def __init__(self, host: str, port: int, app: App) -> None:
        self._server = _Server(host, port, app)
        self.host, self.port = host, self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name=f"http-{self.port}"
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Such as http://127.0.0.1:4566."""
        return f"http://{self.host}:{self.port}"

    def close(self) -> None:
        """Stop listening and wait until every thread has ended."""
        threading.Thread(target=self._server.shutdown).start()
        while self._thread.is_alive():  # a connection accepted while hanging up is met by the next round
            self._server.hang_up()
            self._thread.join(0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reply(start: StartResponse, status: int, body: bytes, content_type: str = "text/plain") -> list[bytes]:
    """A whole answer."""
    head = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    start(f"{status} {HTTPStatus(status).phrase}", head)
    return [body]


def reply_json(start: StartResponse, value: object, status: int = 200) -> list[bytes]:
    """A whole answer in JSON."""
    return reply(start, status, json.dumps(value).encode(), "application/json")


def read_body(environ: Environ) -> bytes:
    """The request's body, of a known length or sent in chunks."""
    source = environ["wsgi.input"]
    if length := int(environ.get("CONTENT_LENGTH") or 0):
        return bytes(source.read(length))
    return bytes(source.read()) if environ.get("wsgi.input_terminated") else b""
