"""What systemd hears from the agent; elsewhere nothing."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.runtime import systemd
from tests.runtime.waiting import on_loop, until


@pytest.fixture(autouse=True)
def _the_protocol_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(systemd, "_notify_systemd", None)


@pytest.fixture(params=["path", "path with @", "abstract"])
def heard(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """Systemd's end."""
    if request.param == "abstract":
        shown = f"@kagemusha-test-{os.getpid()}"
        bound = "\0" + shown[1:]
    else:
        shown = bound = str(tmp_path / ("user@1000" if "@" in request.param else "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", shown)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(bound)
        sock.settimeout(10)
        yield sock


def test_a_state_is_one_datagram(heard: socket.socket) -> None:
    systemd.notify("READY=1")
    systemd.notify("STOPPING=1")
    assert [heard.recv(100), heard.recv(100)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:3"])
def test_nothing_happens_where_there_is_no_systemd(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.notify("READY=1")


def test_a_systemd_that_is_gone_or_does_not_listen_holds_nobody_up(
    heard: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10_000):  # its queue is full long before
        systemd.notify("WATCHDOG=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    systemd.notify("READY=1")


@pytest.mark.parametrize(
    ("limit_us", "pid", "period_s"),
    [
        ("3000000", None, 1.0),
        pytest.param("3000000", str(os.getpid()), 1.0, id="its own"),
        ("3000000", "1", None),
        ("", None, None),
        (None, None, None),
        ("soon", None, None),
    ],
)
def test_how_often_the_watchdog_is_fed(
    limit_us: str | None, pid: str | None, period_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WATCHDOG_USEC", limit_us), ("WATCHDOG_PID", pid)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_period_s() == period_s


@on_loop
async def test_the_watchdog_is_fed_while_the_agent_works_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, works, looked = list[str](), True, list[bool]()
    monkeypatch.setattr(systemd, "notify", said.append)
    monkeypatch.setenv("WATCHDOG_USEC", "3000")

    def look() -> bool:
        looked.append(works)
        return works

    feeding = asyncio.create_task(systemd.feed_watchdog(look))
    await until(lambda: len(said) > 5)
    works = False
    looked.clear()
    await until(lambda: len(looked) > 5)
    fed = len(said)
    looked.clear()
    await until(lambda: len(looked) > 5)
    assert len(said) == fed
    assert set(said) == {"WATCHDOG=1"}
    feeding.cancel()
    await asyncio.wait([feeding])


@on_loop
async def test_nobody_is_fed_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "notify", lambda _: pytest.fail("fed"))
    await systemd.feed_watchdog(lambda: True)


def test_the_journal_takes_the_log_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not systemd.under_systemd()
    monkeypatch.setenv("JOURNAL_STREAM", "8:12345")
    assert systemd.under_systemd()
