"""A small client of the agent's API over its Unix socket: one request, one connection, one typed report.

Fields that a newer agent adds are ignored. Raises `ApiError` when the agent says no, `Unreachable`
when no agent's answer came back.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec

from agent.api.errors import ApiError, Unreachable
from agent.api.mirrors import MirrorReport
from agent.api.reports import AnswerReport, ConfigReport, EventView, StatusReport, TimelineReport

T = TypeVar("T")

TIMEOUT_S = 15.0  # above the server's own limit, so that its words arrive
LARGEST_ANSWER_BYTES = 16 * 1024 * 1024


class _Error(msgspec.Struct):
    error: str
    hint: str = ""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class AgentClient:
    """Asks the agent that listens at `socket_path`; each step of a request may take `timeout_s`."""

    def __init__(self, socket_path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._path, self._timeout_s = socket_path, timeout_s

    def status(self) -> StatusReport:
        """The cluster as the answering node sees it."""
        return self._get("/v1/status", StatusReport)

    def events(self, limit: int, after: int = 0) -> list[EventView]:
        """The newest `limit` events, or the next ones above the id `after`; oldest first."""
        return self._get(f"/v1/events?limit={limit}&after={after}", list[EventView])

    def timelines(self, limit: int) -> list[TimelineReport]:
        """The newest `limit` timelines, newest first."""
        return self._get(f"/v1/timelines?limit={limit}", list[TimelineReport])

    def config(self) -> ConfigReport:
        """The configuration in force."""
        return self._get("/v1/config", ConfigReport)

    def reload_config(self) -> AnswerReport:
        """Make the agent read its file again."""
        return self._command("/v1/config/reload")

    def depart(self) -> AnswerReport:
        """Say that the agent's machine is about to stop: all that runs there is handed over or stopped."""
        return self._command("/v1/depart")

    def bring_in_service(
        self, name: str, node: str | None = None, owner_is_off: str | None = None
    ) -> AnswerReport:
        """Start or move the hierarchy (its name, or a tag in it)."""
        body = msgspec.json.encode({"node": node, "owner_is_off": owner_is_off})
        return self._command(f"/v1/hierarchies/{_part(name)}/in-service", body)

    def take_out_of_service(self, name: str) -> AnswerReport:
        """Stop the hierarchy (its name, or a tag in it) everywhere."""
        return self._command(f"/v1/hierarchies/{_part(name)}/out-of-service")

    def recover(self, tag: str) -> AnswerReport:
        """Repair a resource, and forget the failures of its hierarchy."""
        return self._command(f"/v1/resources/{_part(tag)}/recover")

    def confirm(self, name: str, *, take: bool) -> AnswerReport:
        """Answer whether the hierarchy (its name, or a tag in it) shall be taken from its lost owner."""
        body = msgspec.json.encode({"take": take})
        return self._command(f"/v1/hierarchies/{_part(name)}/confirm", body)

    def mirrors(self) -> list[MirrorReport]:
        """Every replicated resource."""
        return self._get("/v1/mirrors", list[MirrorReport])

    def mirror(self, tag: str) -> MirrorReport:
        """One replicated resource."""
        return self._get(f"/v1/mirrors/{_part(tag)}", MirrorReport)

    def ask_mirror(self, tag: str, verb: str, body: Mapping[str, object] | None = None) -> AnswerReport:
        """Ask something of a replicated resource: see docs/cli.md for the verbs and their bodies."""
        return self._command(f"/v1/mirrors/{_part(tag)}/{verb}", msgspec.json.encode(body or {}))

    def metrics(self) -> str:
        """Figures in Prometheus' text format."""
        status, data = self._exchange("GET", "/v1/metrics", None)
        if status != 200:
            raise self._refusal(status, data)
        return data.decode(errors="replace")

    def _get(self, target: str, report: type[T]) -> T:
        status, data = self._exchange("GET", target, None)
        if status != 200:
            raise self._refusal(status, data)
        return self._decode(data, report)

    def _command(self, target: str, body: bytes | None = None) -> AnswerReport:
        status, data = self._exchange("POST", target, body)
        if status not in (200, 409):  # 409: the agent refuses, and says why in the same report
            raise self._refusal(status, data)
        return self._decode(data, AnswerReport)

    def _exchange(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        connection = _UnixConnection(self._path, self._timeout_s)
        try:
            connection.request(method, target, body, {"Connection": "close"})
            response = connection.getresponse()
            data = response.read(LARGEST_ANSWER_BYTES + 1)
        except (OSError, http.client.HTTPException) as exc:
            raise self._unreachable(exc) from exc
        finally:
            connection.close()
        if len(data) > LARGEST_ANSWER_BYTES:
            raise self._strange(f"an answer of more than {LARGEST_ANSWER_BYTES} bytes")
        return response.status, data

    def _unreachable(self, exc: Exception) -> Unreachable:
        match exc:
            case FileNotFoundError() | ConnectionRefusedError() | NotADirectoryError():
                return Unreachable(f"no agent answers at {self._path}", "systemctl start kagemusha")
            case PermissionError():
                return Unreachable(f"may not talk to the agent at {self._path}", "use sudo")
            case TimeoutError() | BlockingIOError():
                return Unreachable(
                    f"the agent at {self._path} did not answer within {self._timeout_s:g} s",
                    "journalctl -u kagemusha may say what it is busy with",
                )
            case ConnectionError():
                return Unreachable(
                    f"the agent at {self._path} broke off", "it may be restarting: systemctl status kagemusha"
                )
            case OSError():
                return Unreachable(f"can't reach {self._path}: {exc.strerror or exc}", "check --socket")
            case _:
                return self._strange(str(exc) or type(exc).__name__)

    def _refusal(self, status: int, data: bytes) -> ApiError:
        if status == 503:
            return Unreachable(
                f"the agent at {self._path} has too many requests open and didn't look at this one",
                "ask again in a moment; `ss -xp` shows who else asks",
            )
        try:
            body = msgspec.json.decode(data, type=_Error)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._strange(f"HTTP {status}")
        return ApiError(body.error, body.hint)

    def _decode(self, data: bytes, report: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=report)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise self._strange(str(exc)) from exc

    def _strange(self, what: str) -> Unreachable:
        return Unreachable(
            f"what answers at {self._path} is not an agent that this kage understands: {what[:200]}",
            "check --socket, and that agent and kage are of the same version (kage version)",
        )


def _part(name: str) -> str:
    return quote(name, safe="")
