"""Stops a call whose node may not act any more, at the last moment before AWS could apply it.

Names are resolved, a connection is made and TLS is agreed on after botocore's last event; that may take
seconds, for nothing bounds slow DNS. So the authority is asked twice: before any of this, and again when
the head of the request is out and its body is wanted. A request without its body is none: EC2 and the load
balancers read the operation from there, Route 53 the changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.aws.errors import AwsError, AwsFault
from recovery_kits.contract import Authority


@dataclass(frozen=True)
class Guard:
    """Asks one call's authority."""

    operation: str
    authority: Authority

    def __call__(self) -> None:
        """Raise AwsError (NO_AUTHORITY) unless this node may still act."""
        if self.authority.ms_left() <= 0:
            text = "this node's authority over the hierarchy has run out"
            raise AwsError(AwsFault.NO_AUTHORITY, self.operation, "NoAuthority", text)


@dataclass(frozen=True)
class GuardedBody:
    """A request's body, which urllib3 iterates over once the connection stands and the head is sent."""

    body: bytes
    guard: Guard

    def __iter__(self) -> Iterator[bytes]:
        self.guard()
        yield self.body
