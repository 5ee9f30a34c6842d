"""The lab's app answers 200 with what the database said, and 503 while there is none."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.machines.machine import PROJECT, wait_until

APP = PROJECT / "terraform/lab/files/app.py"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def get(port: int) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.fixture
def app() -> Iterator[tuple[int, int]]:
    """Its port, and the port at which it looks for its database."""
    port, database = free_port(), free_port()
    running = subprocess.Popen([sys.executable, str(APP), str(port), "127.0.0.1", str(database)])

    def serves() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(serves, 20, "the app listens")
        yield port, database
    finally:
        running.kill()
        running.wait(10)


def test_it_answers_200_with_what_the_database_said_and_503_without_one(app: tuple[int, int]) -> None:
    port, database = app
    assert get(port)[0] == 503
    with socket.create_server(("127.0.0.1", database)) as listener:
        listener.settimeout(20)

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(100) == b"a line by the app\n"
                connection.sendall(b"ok 7\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert get(port) == (200, b"ok 7\n")
        thread.join()
