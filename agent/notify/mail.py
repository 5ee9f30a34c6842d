"""Messages by e-mail, through a mail server."""

from __future__ import annotations

import logging
import smtplib
import socket
from email.message import EmailMessage
from email.utils import localtime

from agent.config.notify import SmtpParameters
from agent.notify.contract import NotSent
from agent.notify.line import Line, talk, tls_context, why
from agent.notify.message import Message, one_line
from agent.notify.secretfile import read_secret
from recovery_kits.blocking import Blocking

TOLD = 200  # characters of what the server said

_log = logging.getLogger(__name__)


class Mail:
    """One server, one sender, its recipients."""

    def __init__(self, parameters: SmtpParameters) -> None:
        self._parameters = parameters
        self._place = f"{parameters.host}:{parameters.port_used}"
        self._limit_s = parameters.limit_ms / 1_000
        self._threads = Blocking("the server", limit_s=self._limit_s, most=1)

    async def warm_up(self) -> None:
        """Nothing to load."""

    async def send(self, message: Message) -> None:
        """Sent is what the server took for one recipient at least; those it refuses are logged."""
        mail = _mail(message, self._parameters)
        try:
            refused = await talk(self._threads, self._limit_s, lambda line: self._hand_over(line, mail))
        except OSError as error:  # smtplib's own are
            raise NotSent(f"{self._place}: {_words(error)}", _step(error)) from None
        for address, (code, said) in refused.items():
            _log.warning("%s refuses %s: %d %s", self._place, address, code, _said(said))

    def _hand_over(self, line: Line, mail: EmailMessage) -> dict[str, tuple[int, bytes]]:
        """The recipients that were refused while others weren't; in a thread."""
        parameters = self._parameters
        password = read_secret(parameters.password_file) if parameters.password_file else ""
        server = _Server(line, parameters)
        try:
            if parameters.tls == "starttls":
                server.starttls(context=tls_context(parameters.ca_file))
            if parameters.user is not None:
                server.login(parameters.user, password)
            refused = server.send_message(mail, parameters.sender, parameters.to)
            server.putcmd("quit")  # it has taken the mail: what it says now changes nothing
            return refused
        finally:
            server.close()


class _Server(smtplib.SMTP):
    def __init__(self, line: Line, parameters: SmtpParameters) -> None:
        self._line, self._parameters = line, parameters
        # Its own name is given: smtplib would look it up, and wait for the DNS.
        super().__init__(parameters.host, parameters.port_used, local_hostname=socket.gethostname())

    def connect(self, host: str = "", port: int = 0, source_address: object = None) -> tuple[int, bytes]:  # noqa: ARG002
        context = tls_context(self._parameters.ca_file) if self._parameters.tls == "tls" else None
        self.sock = self._line.open(host, port, context)
        return self.getreply()


def _mail(message: Message, parameters: SmtpParameters) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = message.subject
    mail["From"] = parameters.sender
    mail["To"] = ", ".join(parameters.to)
    mail["Date"] = localtime()
    mail["Message-ID"] = (
        f"<{message.id}.{message.node}.{message.cluster}@kagemusha.invalid>"  # the same if sent again
    )
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies
    mail.set_content(message.body, cte="quoted-printable")
    return mail


def _words(error: OSError) -> str:
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, said = next(iter(error.recipients.values()))
            return f"every recipient is refused: {code} {_said(said)}"
        case smtplib.SMTPAuthenticationError():
            return f"the login is refused: {error.smtp_code}"  # what was said may hold what was sent
        case smtplib.SMTPResponseException():
            return f"{error.smtp_code} {_said(error.smtp_error)}"
        case smtplib.SMTPException():
            return one_line(str(error), TOLD)
    return why(error)


def _step(error: OSError) -> str:
    match error:
        case smtplib.SMTPAuthenticationError():
            return "correct user, or the first line of password_file"
        case smtplib.SMTPSenderRefused():
            return "correct sender"
        case smtplib.SMTPRecipientsRefused():
            return "correct to"
        case smtplib.SMTPNotSupportedError():
            return "correct tls and port: the server doesn't offer it"
    return ""


def _said(said: bytes | str) -> str:
    return one_line(said.decode(errors="replace") if isinstance(said, bytes) else said, TOLD)
