"""What goes wrong with calls of AWS, in the words of its services."""

from __future__ import annotations

from tests.aws_server import Rule


def unauthorized(operation: str) -> Rule:
    """EC2's answer to a caller without the permission."""
    return Rule(operation=operation, fault="error", status=403, code="UnauthorizedOperation")


def broken(operation: str, left: int | None = None) -> Rule:
    """A service that fails by itself."""
    return Rule(operation=operation, fault="error", status=500, code="InternalError", left=left)


def expired(operation: str) -> Rule:
    """The answer to a request that was signed too long ago."""
    return Rule(operation=operation, fault="error", status=400, code="RequestExpired")


def name_of(rule: object) -> str:
    """A test's name for the rule that it is about; "" for what is none."""
    return f"{rule.operation}-{rule.fault}-{rule.code}-{rule.left}" if isinstance(rule, Rule) else ""
