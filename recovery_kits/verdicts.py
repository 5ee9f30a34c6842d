"""What an error of AWS means to a kit: the same to each of them."""

from __future__ import annotations

from typing import Any

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Check, Finding, Kit, KitError


def failure(kit: Kit[Any], action: str, error: AwsError) -> KitError:
    """What the action raises: Unanswered where nobody can tell."""
    return (kit.unanswered if error.unanswered else kit.error)(action, str(error))


def check(error: AwsError) -> Check:
    """What `quick_check` returns: only that a thing isn't there is certain; a refusal to tell is not."""
    return (Check.failed if error.kind is AwsFault.NOT_FOUND else Check.unknown)(str(error))


def finding(error: AwsError) -> Finding:
    """What `validate` finds."""
    otherwise = "try again when AWS answers" if error.unanswered else "correct what this names"
    return Finding(str(error), error.step or otherwise, certain=not error.unanswered)
