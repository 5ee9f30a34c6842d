"""The lab's hands in a guest: does what one-line JSON requests on a virtio-serial port ask.

    {"id": 1, "do": "run", "argv": […], "env": {…}, "stdin": "…", "within_s": 20}
        -> {"id": 1, "code": 0, "out": "…", "err": "…"}; code null: still running after `within_s`
    {"id": 2, "do": "spawn", "argv": […], "env": {…}, "log": "x.log"}
        -> {"began": 345, "log": "x.log"}, {"id": 2, "pid": 345}, then {"output": 345, "text": "…"}…
        and {"ended": 345, "code": 0}; or just {"id": 2, "error": "…"}
    {"id": 3, "do": "http", "socket": "/run/…", "method": "GET", "target": "/", "body": null}
        -> {"id": 3, "status": 200, "text": "…"}, or {"id": 3, "error": "ConnectionRefusedError"}

Each request has a thread, so one that hangs delays no other. A command's output goes to files, not
pipes: a process in D state, or a daemon that it left behind, can't hold the answer back.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

PORT = "lab"
CHUNK_BYTES = 32768


class Port:
    """The port's guest side; may be written by any thread."""

    def __init__(self) -> None:
        self._file = os.open(_device(), os.O_RDWR)
        self._lock = threading.Lock()

    def say(self, message: dict[str, Any]) -> None:
        """Write one line."""
        left = memoryview((json.dumps(message) + "\n").encode())
        with self._lock:
            while left:
                left = left[os.write(self._file, left[:CHUNK_BYTES]) :]

    def listen(self) -> None:
        """Do what each line asks, until the machine ends."""
        begun = b""
        while True:
            data = os.read(self._file, CHUNK_BYTES)
            if not data:  # the host's side isn't connected
                time.sleep(0.05)
                continue
            *lines, begun = (begun + data).split(b"\n")
            for line in lines:
                threading.Thread(target=self._answer, args=(json.loads(line),), daemon=True).start()

    def _answer(self, request: dict[str, Any]) -> None:
        number, do = request.pop("id"), request.pop("do")
        if do == "spawn":
            self._spawn(number, **request)
        else:
            self.say({"id": number, **(run if do == "run" else exchange)(**request)})

    def _spawn(self, number: int, argv: list[str], env: dict[str, str], log: str) -> None:
        try:
            process = subprocess.Popen(
                argv,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as exc:
            self.say({"id": number, "error": str(exc)})
            return
        self.say({"began": process.pid, "log": log})
        self.say({"id": number, "pid": process.pid})
        threading.Thread(target=self._relay, args=(process,), daemon=True).start()
        self.say({"ended": process.pid, "code": process.wait()})

    def _relay(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        while data := os.read(process.stdout.fileno(), CHUNK_BYTES):
            self.say({"output": process.pid, "text": data.decode(errors="replace")})


def run(argv: list[str], env: dict[str, str], stdin: str, within_s: float) -> dict[str, Any]:
    """Run a command to its end, or kill it."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        try:
            process = subprocess.Popen(
                argv,
                env={**os.environ, **env},
                stdin=given,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as exc:
            return {"code": 127, "out": "", "err": str(exc)}
        code: int | None
        try:
            code = process.wait(within_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # not yet reaped, so the number is its own
            code = None
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return {"code": code, "out": texts[0], "err": texts[1]}


def exchange(socket: str, method: str, target: str, body: str | None, within_s: float) -> dict[str, Any]:
    """One request over a Unix socket."""
    import http.client
    from socket import AF_UNIX, SOCK_STREAM
    from socket import socket as make_socket

    connection = http.client.HTTPConnection("localhost", timeout=within_s)
    try:
        connection.sock = make_socket(AF_UNIX, SOCK_STREAM)
        connection.sock.settimeout(within_s)
        connection.sock.connect(socket)
        connection.request(method, target, body, {"Connection": "close"})
        answer = connection.getresponse()
        return {"status": answer.status, "text": answer.read().decode()}
    except (OSError, http.client.HTTPException) as exc:
        return {"error": type(exc).__name__}
    finally:
        connection.close()


def _device() -> str:
    while True:  # the driver makes the device in its own time
        for port in Path("/sys/class/virtio-ports").iterdir():
            if (port / "name").read_text().strip() == PORT:
                return f"/dev/{port.name}"
        time.sleep(0.05)


def main() -> None:
    """Say who is there, and serve."""
    port = Port()
    port.say({"up": Path("/proc/sys/kernel/random/boot_id").read_text().strip()})
    port.listen()


if __name__ == "__main__":
    main()
