"""What a relay is told, and what it answers: a line of JSON each, before the first request.

The order goes through a socket that only its two ends have: there is a private key in it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from recovery_kits.mirror.nbd import Flag, NbdError
from recovery_kits.mirror.negotiation import Found

LINE_BYTES = 65_536


@dataclass(frozen=True)
class Credentials:
    """What one end of a connection shows and trusts, in PEM."""

    certificate: str
    private_key: str = field(repr=False)
    trusted: str  # certificates, one after the other


@dataclass(frozen=True)
class Behindhand:
    """How far the target may be behind, and where that is told: `record` and `report` in a directory."""

    most_bytes: int
    within_ms: int
    directory: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """Where to connect to, and how."""

    address: str
    port: int
    export: str
    local: str | None  # the address to connect from
    limit_s: float  # for each step until the export is agreed on
    user_timeout_ms: int  # see wire.end_soon
    credentials: Credentials | None  # None: without TLS
    behind: Behindhand | None  # None: bytes are carried as they come

    def line(self) -> bytes:
        """For the relay."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> Order:
        """As it was told."""
        told = json.loads(line)
        shown, behind = told.pop("credentials"), told.pop("behind")
        return cls(
            **told,
            credentials=None if shown is None else Credentials(**shown),
            behind=None if behind is None else Behindhand(**behind),
        )


def answer(found: Found | NbdError) -> bytes:
    """What has come of it."""
    told: dict[str, Any]
    if isinstance(found, NbdError):
        told = {"subject": found.subject, "reason": found.reason, "errno": found.errno}
    else:
        told = asdict(found)
    return json.dumps(told).encode() + b"\n"


def answered(line: bytes) -> Found:
    """The same at the other end; raises NbdError."""
    told = json.loads(line)
    if "reason" in told:
        raise NbdError(told["subject"], told["reason"], told["errno"])
    return Found(told["size_bytes"], Flag(told["flags"]), told["description"])
