"""What would keep notices from their destinations, as far as this machine alone can tell; sends nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from agent.config.notify import NotifySetup, ScriptParameters, SmtpParameters, WebhookParameters
from agent.notify.contract import NotSent
from agent.notify.line import tls_context
from agent.notify.secretfile import read_secret
from recovery_kits.blocking import Blocking
from recovery_kits.contract import Finding

LIMIT_S = 5.0


async def findings(setup: NotifySetup) -> list[Finding]:
    """Secrets that can't be read or that others can, certificates and programs that aren't there."""
    disk = Blocking("the disk", limit_s=LIMIT_S, most=1)
    try:
        return await disk.do(lambda: list(_look(setup)))
    except OSError as error:
        return [Finding(error.strerror or str(error), "see what its files lie on")]


def _look(setup: NotifySetup) -> Iterator[Finding]:
    match setup.parameters:
        case SmtpParameters() as smtp:
            yield from _secret(smtp.password_file)
            yield from _certificates(smtp.ca_file)
        case WebhookParameters() as webhook:
            yield from _secret(webhook.secret_file)
            yield from _certificates(webhook.ca_file)
        case ScriptParameters() as script:
            if not os.access(script.command[0], os.X_OK):
                program = script.command[0]
                yield Finding(f"there is no {program} that can be run", f"install it, chmod +x {program}")


def _secret(path: Path | None) -> Iterator[Finding]:
    if path is not None:
        try:
            read_secret(path)
        except NotSent as trouble:
            yield Finding(trouble.why, trouble.step or "write the secret into a file of its own, mode 0400")


def _certificates(path: Path | None) -> Iterator[Finding]:
    if path is not None:
        try:
            tls_context(path)
        except OSError as error:
            why = error.strerror or str(error)
            yield Finding(f"{path} holds no certificates that can be used: {why}", "write them there as PEM")
