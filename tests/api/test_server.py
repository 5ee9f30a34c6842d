"""What the agent promises to whoever speaks HTTP on its socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.api import contract, server
from agent.api.reports import AnswerReport, StatusReport
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.messages import BringInService, Confirm, Recover, TakeOutOfService
from tests.api.fake_agent import FakeAgent, event, served, until_it_listens


def ask(path: Path, method: str, target: str, body: bytes | None = None) -> tuple[int, Any]:
    """One request over a real socket: the status and the decoded JSON."""
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    connection.sock.connect(str(path))
    try:
        connection.request(method, target, body)
        response = connection.getresponse()
        assert response.headers["content-type"] == "application/json"
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_reports_are_served_as_they_are(agent: FakeAgent, socket_path: Path) -> None:
    agent.events_kept = [event(1), event(2)]
    for target, report in (
        ("/v1/status", agent.status()),
        ("/v1/config", agent.config()),
        ("/v1/events", agent.events_kept),
        ("/v1/timelines", []),
    ):
        assert ask(socket_path, "GET", target) == (200, msgspec.to_builtins(report))


def test_events_are_limited_and_continued(agent: FakeAgent, socket_path: Path) -> None:
    agent.events_kept = [event(number) for number in range(1, 11)]
    _, newest = ask(socket_path, "GET", "/v1/events?limit=2")
    _, following = ask(socket_path, "GET", "/v1/events?limit=2&after=3")
    assert [each["id"] for each in newest] == [9, 10]
    assert [each["id"] for each in following] == [4, 5]


@pytest.mark.parametrize(
    ("target", "body", "command"),
    [
        (
            "/v1/hierarchies/groupware/in-service",
            b'{"node": "db-02"}',
            BringInService(hierarchy=HierarchyId("groupware"), node=NodeId("db-02")),
        ),
        (
            "/v1/hierarchies/groupware/in-service",
            b'{"node": null}',
            BringInService(hierarchy=HierarchyId("groupware")),
        ),
        ("/v1/hierarchies/ip-vip/in-service", None, BringInService(hierarchy=HierarchyId("groupware"))),
        (
            "/v1/hierarchies/groupware/out-of-service",
            None,
            TakeOutOfService(hierarchy=HierarchyId("groupware")),
        ),
        (
            "/v1/hierarchies/groupware/confirm",
            b'{"take": true}',
            Confirm(hierarchy=HierarchyId("groupware"), take=True),
        ),
        (
            "/v1/hierarchies/ip-vip/confirm",
            b'{"take": false}',
            Confirm(hierarchy=HierarchyId("groupware"), take=False),
        ),
        (
            "/v1/resources/cyde_5_0/recover",
            None,
            Recover(hierarchy=HierarchyId("groupware"), tag=Tag("cyde_5_0")),
        ),
    ],
)
def test_commands_reach_the_agent(
    agent: FakeAgent, socket_path: Path, target: str, body: bytes | None, command: object
) -> None:
    assert ask(socket_path, "POST", target, body) == (200, {"accepted": True, "text": "begun"})
    assert agent.commands == [command]


def test_a_refusal_is_a_409_that_says_why(agent: FakeAgent, socket_path: Path) -> None:
    agent.answer = AnswerReport(accepted=False, text="db-02 is lost")
    for target in ("/v1/hierarchies/groupware/in-service", "/v1/config/reload"):
        assert ask(socket_path, "POST", target) == (409, {"accepted": False, "text": "db-02 is lost"})


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "error"),
    [
        ("GET", "/v1/nothing", None, 404, "/v1/nothing: Not Found"),
        ("GET", "/", None, 404, "/: Not Found"),
        ("POST", "/v1/status", None, 405, "/v1/status doesn't take POST"),
        ("GET", "/v1/config/reload", None, 405, "/v1/config/reload doesn't take GET"),
        ("GET", "/v1/events?limit=0", None, 400, 'limit: "0" is not a number from 1 to 1000'),
        ("GET", "/v1/events?limit=ten", None, 400, 'limit: "ten" is not'),
        ("GET", "/v1/events?limit=%C2%B2", None, 400, 'limit: "²" is not'),
        ("GET", "/v1/events?limit=", None, 400, 'limit: "" is not'),
        ("GET", f"/v1/events?after={'9' * 500}", None, 400, 'after: "999'),
        ("GET", "/v1/events?after=-1", None, 400, 'after: "-1" is not'),
        ("GET", "/v1/timelines?limit=1e3", None, 400, 'limit: "1e3" is not'),
        ("POST", "/v1/hierarchies/mail/in-service", None, 404, 'nothing is called "mail"'),
        ("POST", "/v1/hierarchies/mail/out-of-service", None, 404, 'nothing is called "mail"'),
        ("POST", "/v1/hierarchies/%FF%00/out-of-service", None, 404, "nothing is called"),
        ("POST", "/v1/resources/groupware/recover", None, 404, 'no resource has the tag "groupware"'),
        ("POST", "/v1/hierarchies/groupware/in-service", b"{", 400, "the body can't be read"),
        ("POST", "/v1/hierarchies/groupware/in-service", b"\xff\xfe", 400, "the body can't be read"),
        ("POST", "/v1/hierarchies/groupware/in-service", b"[]", 400, "the body can't be read"),
        ("POST", "/v1/hierarchies/groupware/in-service", b'{"node": 2}', 400, "the body can't be read"),
        ("POST", "/v1/hierarchies/groupware/in-service", b'{"nod": "db-02"}', 400, "the body can't be read"),
        ("POST", "/v1/hierarchies/groupware/in-service", b'{"node": "db-9"}', 400, "groupware can't run on"),
        ("POST", "/v1/hierarchies/mail/confirm", b'{"take": true}', 404, 'nothing is called "mail"'),
        ("POST", "/v1/hierarchies/groupware/confirm", None, 400, "the body can't be read"),
        ("POST", "/v1/hierarchies/groupware/confirm", b'{"take": "yes"}', 400, "the body can't be read"),
        ("POST", "/v1/hierarchies/groupware/confirm", b'{"take": null}', 400, "the body can't be read"),
        ("POST", "/v1/hierarchies/groupware/in-service", b" " * 5_000, 413, "the body is larger than 4096"),
    ],
)
def test_bad_input_never_reaches_the_agent(
    agent: FakeAgent, socket_path: Path, method: str, target: str, body: bytes | None, status: int, error: str
) -> None:
    answered, report = ask(socket_path, method, target, body)
    assert answered == status
    assert set(report) == {"error", "hint"}
    assert report["error"].startswith(error)
    assert not agent.commands
    assert not agent.asked


def test_a_defect_is_a_500_in_json_and_the_agent_goes_on(agent: FakeAgent, socket_path: Path) -> None:
    agent.defect = ValueError("a secret detail")
    status, report = ask(socket_path, "GET", "/v1/status")
    assert status == 500
    assert "secret" not in json.dumps(report)
    agent.defect = None
    assert ask(socket_path, "GET", "/v1/status")[0] == 200


def test_an_agent_that_never_answers_is_a_504(
    agent: FakeAgent, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ANSWER_WITHIN_S", 0.05)
    agent.silent = True
    status, report = ask(socket_path, "POST", "/v1/hierarchies/groupware/out-of-service")
    assert (status, report["hint"]) == (504, "`kage status` shows what became of it")
    assert contract.ANSWER_WITHIN_S > server.END_WITHIN_S


def test_a_body_that_never_ends_is_cut(agent: FakeAgent, socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(socket_path))
        connection.sendall(b"POST /v1/hierarchies/groupware/in-service HTTP/1.1\r\nHost: x\r\n")
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b" " * 1024 + b"\r\n")
        for _ in range(4):
            connection.sendall(b"400\r\n" + b" " * 1024 + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert not agent.commands


def test_a_body_that_breaks_off_is_no_defect(
    agent: FakeAgent, socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(socket_path))
        connection.sendall(
            b"POST /v1/hierarchies/groupware/in-service HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
        )
    assert ask(socket_path, "GET", "/v1/status")[0] == 200
    assert not caplog.records
    assert not agent.commands


def test_garbage_on_the_socket_harms_nobody(agent: FakeAgent, socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(socket_path))
        connection.sendall(bytes(range(256)) * 8 + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert ask(socket_path, "GET", "/v1/status")[0] == 200


def test_only_the_owner_may_open_the_socket(agent: FakeAgent, socket_path: Path) -> None:
    assert stat.filemode(socket_path.stat().st_mode) == "srw-------"


def test_a_stale_socket_is_replaced_and_ours_removed_at_the_end(socket_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(socket_path))
    dead.close()
    with served(FakeAgent(), socket_path):
        assert ask(socket_path, "GET", "/v1/status")[0] == 200
    assert not socket_path.exists()


def test_a_living_agents_socket_is_left_alone(agent: FakeAgent, socket_path: Path) -> None:
    with pytest.raises(OSError, match="another agent answers there"):
        asyncio.run(server.serve(FakeAgent(), socket_path))
    assert ask(socket_path, "GET", "/v1/status")[0] == 200


def test_a_file_that_is_no_socket_is_left_alone(socket_path: Path) -> None:
    socket_path.write_text("precious")
    with pytest.raises(FileExistsError):
        asyncio.run(server.serve(FakeAgent(), socket_path))
    assert socket_path.read_text() == "precious"


def test_the_end_answers_a_request_that_hangs(socket_path: Path) -> None:
    agent, answers = FakeAgent(), list[int]()
    agent.silent = True
    waiting = threading.Thread(
        target=lambda: answers.append(ask(socket_path, "POST", "/v1/config/reload")[0])
    )
    with served(agent, socket_path):
        waiting.start()
        assert agent.thinking.wait(10)
    waiting.join(10)
    assert answers == [504]


def test_signals_stay_the_agents_own(socket_path: Path) -> None:
    """uvicorn takes SIGTERM in the main thread, so this one serves there."""
    before = signal.getsignal(signal.SIGTERM)
    during: list[object] = []

    class Looking(FakeAgent):
        def status(self) -> StatusReport:
            during.append(signal.getsignal(signal.SIGTERM))
            return super().status()

    async def look(path: Path) -> None:
        serving = asyncio.create_task(server.serve(Looking(), path))
        await until_it_listens(path)
        await asyncio.to_thread(ask, path, "GET", "/v1/status")
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    asyncio.run(look(socket_path.with_name("other.sock")))
    assert during == [before]
