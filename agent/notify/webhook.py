"""Messages by HTTP POST, signed where a secret is given."""

from __future__ import annotations

import hmac
import http.client
from http import HTTPStatus

from agent.config.notify import WebhookParameters
from agent.notify.contract import NotSent
from agent.notify.line import Line, talk, tls_context, why
from agent.notify.message import Message
from agent.notify.secretfile import read_secret
from recovery_kits.blocking import Blocking

SIGNATURE = "X-Kagemusha-Signature"  # sha256=HEX: HMAC-SHA256 (RFC 2104) of the body
_STEPS = {
    401: "see whether both sides have the same secret",
    403: "see whether both sides have the same secret",
    404: "correct its url",
}


class Webhook:
    """One URL. Redirects aren't followed: the secret is for the one that was written down."""

    def __init__(self, parameters: WebhookParameters) -> None:
        self._parameters = parameters
        self._limit_s = parameters.limit_ms / 1_000
        self._threads = Blocking("the server", limit_s=self._limit_s, most=1)

    async def warm_up(self) -> None:
        """Nothing to load."""

    async def send(self, message: Message) -> None:
        """Sent is what was answered with 2xx."""
        body = message.json()
        try:
            status = await talk(self._threads, self._limit_s, lambda line: self._post(line, body))
        except (OSError, http.client.HTTPException) as error:
            reason = why(error) if isinstance(error, OSError) else f"no HTTP answer ({type(error).__name__})"
            raise NotSent(f"{self._parameters.place}: {reason}") from None  # the error may quote the URL
        if not 200 <= status < 300:
            words = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown"
            step = "write the address it leads to" if 300 <= status < 400 else _STEPS.get(status, "")
            raise NotSent(f"{self._parameters.place} answers {status} ({words})", step)

    def _post(self, line: Line, body: bytes) -> int:
        """The status that was answered; in a thread."""
        parts = self._parameters.parts
        headers = {"Host": parts.netloc, "Content-Type": "application/json", "User-Agent": "kagemusha"}
        if self._parameters.secret_file is not None:
            secret = read_secret(self._parameters.secret_file)
            headers[SIGNATURE] = f"sha256={hmac.digest(secret.encode(), body, 'sha256').hex()}"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = _Connection(line, self._parameters)
        try:
            connection.request("POST", target, body, {**headers, "Connection": "close"})
            with connection.getresponse() as answer:
                return answer.status  # what it says besides is of no use, and may have no end
        finally:
            connection.close()


class _Connection(http.client.HTTPConnection):
    def __init__(self, line: Line, parameters: WebhookParameters) -> None:
        parts = parameters.parts
        self._is_tls = parts.scheme == "https"
        super().__init__(parts.hostname or "", parts.port or (443 if self._is_tls else 80))
        self._line, self._ca_file = line, parameters.ca_file

    def connect(self) -> None:
        context = tls_context(self._ca_file) if self._is_tls else None
        self.sock = self._line.open(self.host, self.port, context)
