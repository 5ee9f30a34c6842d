"""The WSGI application: who calls what, what goes wrong, and moto behind one lock.

Its invariants: moto handles one call at a time, so a conditional write is atomic; no delay is taken
under the lock, so calls in parallel wait in parallel; every call is in the journal before it is applied.
"""

from __future__ import annotations

import io
import json
import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import Client

from tests.aws_server.faults import Faults, Plan, Rule
from tests.aws_server.fidelity import install
from tests.aws_server.http import Environ, StartResponse, read_body, reply, reply_json
from tests.aws_server.iam import enforce

HANG_LIMIT_S = 300.0  # a hanging call ends then, or when the server stops
JSON_SERVICES = frozenset({"dynamodb", "logs", "secretsmanager", "ssm"})
SIGNED_BY = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/")
ANSWERS_KEPT = 100  # for calls that are to be answered as before
Answer = tuple[str, list[tuple[str, str]], bytes]  # status, headers, body
Request = tuple[str, str, bytes]  # operation, query, body
Control = Callable[[bytes], Any]  # the posted body -> what to answer, as JSON


class AwsApp:
    """moto, made atomic, faulty on demand, and observed."""

    def __init__(self, controls: dict[str, Control]) -> None:
        install()
        self.faults = Faults()
        self.stopping = threading.Event()
        self._late = threading.Event()  # set when the calls that wait for it are to be applied
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._one_at_a_time = threading.Lock()
        self._answers: dict[Request, Answer] = {}  # the last one of each request
        self._marked: dict[Request, Answer] = {}  # as they were when that was asked for
        self.applied: Callable[[str], None] = lambda _operation: None  # told after each call, in its thread
        self._controls = controls | {
            "/_test/faults": self._faults,
            "/_test/journal": lambda _body: [asdict(call) for call in self.faults.journal()],
            "/_test/reset": self._reset,
            "/_test/iam": lambda body: enforce(on=bool(json.loads(body)["enforced"])),
            "/_test/release-late": lambda _body: self.release_late(),
            "/_test/mark": lambda _body: self._mark(),
        }

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        body = read_body(environ)
        if environ["PATH_INFO"].startswith("/_test/"):
            return self._control(environ["PATH_INFO"], body, start)
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        environ.pop("HTTP_TRANSFER_ENCODING", None)  # the chunks are joined by now
        key, service, operation = identify(environ, body)
        plan = self.faults.plan(operation, key, body.decode("latin1"))
        self.stopping.wait(plan.delay_before_s)
        match plan.fault:
            case "error":
                answer = error_reply(plan, service)
                self.stopping.wait(plan.delay_after_s)
                return reply(start, plan.status, *answer)
            case "hang":
                self.stopping.wait(HANG_LIMIT_S)
                hang_up(environ)
            case "drop-before":
                hang_up(environ)
            case "late" if not self.stopping.is_set():
                self._late.wait(HANG_LIMIT_S)
        request = (operation, environ.get("QUERY_STRING", ""), body)
        if plan.fault == "stale" and (before := self._marked.get(request)):
            status, headers, content = before
        else:
            status, headers, content = self._apply(environ, request)
        self.applied(operation)
        if plan.fault == "drop-after":
            hang_up(environ)
        self.stopping.wait(plan.delay_after_s)
        start(status, headers)
        return [content]

    def release_late(self) -> None:
        """Let the calls that are late be applied now."""
        released, self._late = self._late, threading.Event()
        released.set()

    def _mark(self) -> None:
        with self._one_at_a_time:
            self._marked = dict(self._answers)

    def _apply(self, environ: Environ, request: Request) -> Answer:
        heads: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], _error: object = None) -> None:
            heads.append((status, headers))

        with self._one_at_a_time:
            content = b"".join(self._moto(environ, start))
            self._answers.pop(request, None)  # the newest is the last
            self._answers[request] = *heads[0], content
            if len(self._answers) > ANSWERS_KEPT:
                del self._answers[next(iter(self._answers))]
        return *heads[0], content

    def _control(self, path: str, body: bytes, start: StartResponse) -> Iterable[bytes]:
        control = self._controls.get(path)
        if control is None:
            return reply_json(start, {"error": f"no such control: {path}"}, 404)
        try:
            return reply_json(start, control(body))
        except (LookupError, TypeError, ValueError) as error:
            return reply_json(start, {"error": str(error)}, 400)

    def _faults(self, body: bytes) -> object:
        if body:
            self.faults.set([Rule(**each) for each in json.loads(body)])
        return [asdict(rule) for rule in self.faults.rules()]

    def _reset(self, _body: bytes) -> object:
        self.faults.forget()
        enforce(on=False)
        with self._one_at_a_time:
            self._answers.clear()
            self._marked.clear()
            Client(self._moto).post("/moto-api/reset").close()
        return {}


def identify(environ: Environ, body: bytes) -> tuple[str, str, str]:
    """The access key id, the service and the operation, e.g. "ec2:ReplaceRoute", of a request."""
    signed = SIGNED_BY.search(environ.get("HTTP_AUTHORIZATION", ""))
    key, service = signed.groups() if signed else ("", "")
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        action = target.rpartition(".")[2]
    else:
        named = parse_qs(body.decode("latin1")).get("Action")
        action = named[0] if named else f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
    return key, service, f"{service}:{action}"


def error_reply(plan: Plan, service: str) -> tuple[bytes, str]:
    """The body and content type by which the service would tell of the plan's error code."""
    if service in JSON_SERVICES:
        body = json.dumps({"__type": plan.code, "message": "injected"})
        return body.encode(), "application/x-amz-json-1.0"
    error = f"<Error><Code>{plan.code}</Code><Message>injected</Message></Error>"
    shells = {"s3": "{}", "ec2": "<Response><Errors>{}</Errors></Response>"}
    return shells.get(service, "<ErrorResponse>{}</ErrorResponse>").format(error).encode(), "text/xml"


def hang_up(environ: Environ) -> None:
    """Break the connection without an answer; doesn't return."""
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("a fault rule drops this call")
