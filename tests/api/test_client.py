"""What the client promises when there is an agent, none, a strange one, or something else altogether."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.api.client import AgentClient
from agent.api.errors import ApiError, Unreachable
from agent.api.reports import AnswerReport
from agent.api.server import LARGEST_CROWD
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.messages import BringInService, Confirm, Recover, TakeOutOfService
from tests.api.fake_agent import FakeAgent, event


def test_reports_come_back_as_they_were_given(agent: FakeAgent, socket_path: Path) -> None:
    client = AgentClient(socket_path)
    agent.events_kept = [event(1), event(2)]
    assert client.status() == agent.status()
    assert client.events(10) == agent.events_kept
    assert client.events(10, after=1) == [event(2)]
    assert client.timelines(3) == []
    assert client.config() == agent.config()


def test_commands_arrive(agent: FakeAgent, socket_path: Path) -> None:
    client, groupware = AgentClient(socket_path), HierarchyId("groupware")
    assert client.bring_in_service("groupware", "db-02") == AnswerReport(accepted=True, text="begun")
    client.bring_in_service("groupware")
    client.take_out_of_service("ip-vip")
    client.recover("cyde_5_0")
    client.confirm("ip-vip", take=False)
    assert agent.commands == [
        BringInService(hierarchy=groupware, node=NodeId("db-02")),
        BringInService(hierarchy=groupware),
        TakeOutOfService(hierarchy=groupware),
        Recover(hierarchy=groupware, tag=Tag("cyde_5_0")),
        Confirm(hierarchy=groupware, take=False),
    ]


def test_a_refusal_is_an_answer(agent: FakeAgent, socket_path: Path) -> None:
    agent.answer = AnswerReport(accepted=False, text="db-02 is lost")
    assert AgentClient(socket_path).reload_config() == agent.answer


def test_an_error_keeps_the_agents_words(agent: FakeAgent, socket_path: Path) -> None:
    with pytest.raises(ApiError) as caught:
        AgentClient(socket_path).take_out_of_service("no/such name?")
    assert not isinstance(caught.value, Unreachable)
    assert caught.value.text == 'nothing is called "no/such name?"'
    assert caught.value.hint == "`kage status` shows hierarchies and tags"


def test_without_an_agent_it_says_how_to_start_one(socket_path: Path) -> None:
    with pytest.raises(Unreachable) as caught:
        AgentClient(socket_path).status()
    assert caught.value.text == f"no agent answers at {socket_path}"
    assert caught.value.hint == "systemctl start kagemusha"


def test_a_dead_agents_socket_is_no_agent(socket_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(socket_path))
    dead.close()
    with pytest.raises(Unreachable, match="no agent answers at"):
        AgentClient(socket_path).status()


def test_a_path_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"can't reach .*AF_UNIX path too long"):
        AgentClient(tmp_path / ("x" * 120)).status()


def test_without_permission_it_says_sudo(agent: FakeAgent, socket_path: Path) -> None:
    socket_path.chmod(0)
    with as_nobody(), pytest.raises(Unreachable) as caught:
        AgentClient(socket_path).status()
    assert caught.value.text == f"may not talk to the agent at {socket_path}"
    assert caught.value.hint == "use sudo"


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Root may open every socket, so don't be root meanwhile."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@contextlib.contextmanager
def answering(path: Path, answer: bytes | None) -> Iterator[None]:
    """Something that answers one connection with these bytes (None: with silence)."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    done = threading.Event()

    def answer_one() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65_536)
            if answer is None:
                done.wait(10)
            else:
                connection.sendall(answer)

    thread = threading.Thread(target=answer_one)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(10)
        listener.close()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\xff" * 5_000,
        http(b"<html>"),
        http(b'{"cluster": "\xff"}'),
        http(b"{}"),
        http(b"[]"),
        http(b'{"accepted": tru'),
        http(b"Bad Gateway", "502 Bad Gateway"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n" + b" " * 17_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
def test_garbage_is_told_as_not_an_agent(socket_path: Path, answer: bytes) -> None:
    with answering(socket_path, answer), pytest.raises(Unreachable, match="not an agent that this kage"):
        AgentClient(socket_path, timeout_s=10).status()


def test_an_agent_with_too_many_requests_is_told_from_a_strange_one(
    agent: FakeAgent, socket_path: Path
) -> None:
    with contextlib.ExitStack() as others:
        for _ in range(LARGEST_CROWD):
            other = others.enter_context(socket.socket(socket.AF_UNIX))
            other.connect(str(socket_path))
        with pytest.raises(Unreachable, match="has too many requests open") as caught:
            AgentClient(socket_path).take_out_of_service("groupware")
    assert caught.value.hint.startswith("ask again in a moment")
    assert not agent.commands


def test_an_agent_that_hangs_up_may_be_restarting(socket_path: Path) -> None:
    with answering(socket_path, b""), pytest.raises(Unreachable, match="broke off"):
        AgentClient(socket_path).status()


def test_silence_has_an_end(socket_path: Path) -> None:
    with answering(socket_path, None), pytest.raises(Unreachable, match=r"did not answer within 0\.1 s"):
        AgentClient(socket_path, timeout_s=0.1).status()


def test_fields_of_a_newer_agent_are_ignored(agent: FakeAgent, socket_path: Path, tmp_path: Path) -> None:
    newer = msgspec.to_builtins(agent.status())
    newer["mirror_lag_bytes"] = 7
    newer["nodes"][0]["zone"] = "a"
    other = tmp_path / "newer.sock"
    with answering(other, http(json.dumps(newer).encode())):
        assert AgentClient(other).status() == agent.status()
