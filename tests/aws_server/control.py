"""The test server's controls over HTTP, for its own process and for others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.request import Request, urlopen

from tests.aws_server.faults import Call, Rule

TIMEOUT_S = 10.0


class Control:
    """Sets faults, reads the journal, starts afresh."""

    def __init__(self, url: str) -> None:
        self._url = url

    def set_faults(self, *rules: Rule) -> None:
        """Put these rules in the place of all others; none: all goes well."""
        self._ask("faults", [asdict(rule) for rule in rules])

    def faults(self) -> list[Rule]:
        """The rules in force, with what is left of each."""
        return [Rule(**each) for each in self._ask("faults")]

    def journal(self, operation: str = "") -> list[Call]:
        """All calls since the last reset, oldest first; of one operation if named."""
        calls = [Call(**each) for each in self._ask("journal")]
        return [call for call in calls if operation in ("", call.operation)]

    def reset(self) -> None:
        """Forget everything: AWS's resources, rules, journal."""
        self._ask("reset", {})

    def mark(self) -> None:
        """Let calls that are stale be answered as by now."""
        self._ask("mark")

    def release_late(self) -> None:
        """Let the calls that are late be applied now."""
        self._ask("release-late")

    def enforce_iam(self, *, enforced: bool) -> None:
        """Refuse what the caller's policies don't allow, until told otherwise or reset."""
        self._ask("iam", {"enforced": enforced})

    def metadata_down(self, instance_id: str, *, down: bool) -> None:
        """Take one node's IMDS down, or bring it back."""
        self._ask("imds", {"instance_id": instance_id, "down": down})

    def _ask(self, name: str, body: Sequence[Any] | dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self._url}/_test/{name}", data), timeout=TIMEOUT_S) as answer:
            return json.load(answer)
