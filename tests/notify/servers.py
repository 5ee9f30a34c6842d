"""Real servers on loopback, each in a thread: mail, HTTP, and one that only plays dead; and certificates."""

from __future__ import annotations

import base64
import datetime
import email
import email.policy
import ipaddress
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make_certificate(directory: Path, name: str, address: str) -> tuple[Path, Path]:
    """A self-made certificate for one address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    block_on_close = False

    def __init__(self, handle: Callable[[socket.socket], None]) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self._handle = handle

    def finish_request(self, request: Any, client_address: Any) -> None:
        with suppress(OSError):  # the client may go at any moment
            self._handle(request)


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    """Its port, until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@dataclass
class Post:
    """One request that a web server got."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Web:
    """What a web server answers, and what it got."""

    status: int = 200
    port: int = 0
    posts: list[Post] = field(default_factory=list)


@contextmanager
def web_server(context: ssl.SSLContext | None = None) -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            web.posts.append(Post(self.path, dict(self.headers), body))
            self.send_response(web.status)
            self.send_header("Content-Length", "2")
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        block_on_close = False

        def finish_request(self, request: Any, client_address: Any) -> None:
            with suppress(OSError):
                if context is None:
                    super().finish_request(request, client_address)
                    return
                with context.wrap_socket(request, server_side=True) as sealed:
                    super().finish_request(sealed, client_address)

    with serving(Server(("127.0.0.1", 0), Handler)) as port:
        web.port = port
        yield web


@contextmanager
def odd_server(say: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that says what it wants; its port."""
    with serving(_Server(say)) as port:
        yield port


@dataclass
class PostOffice:
    """A mail server's manners, and what it got."""

    tls: str = "none"  # "none" | "starttls" | "tls"
    login: tuple[str, str] | None = None
    replies: dict[str, str] = field(default_factory=dict)  # to these words something else, "" cuts it off
    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    in_the_clear: list[str] = field(default_factory=list)  # what came before any TLS


@contextmanager
def mail_server(office: PostOffice, certificate: tuple[Path, Path]) -> Iterator[PostOffice]:
    context = server_context(certificate)

    def handle(connection: socket.socket) -> None:
        if office.tls == "tls":
            connection = context.wrap_socket(connection, server_side=True)
        with closing(_Dialogue(office, connection, context)) as dialogue:
            dialogue.run()

    with serving(_Server(handle)) as port:
        office.port = port
        yield office


class _Dialogue:
    """One SMTP session (RFC 5321), as far as a client of ours goes."""

    def __init__(self, office: PostOffice, connection: socket.socket, context: ssl.SSLContext) -> None:
        self._office, self._connection, self._context = office, connection, context
        self._file = connection.makefile("rb")
        self._sealed = office.tls == "tls"
        self._sender, self._to = "", list[str]()

    def close(self) -> None:
        self._file.close()
        self._connection.close()

    def run(self) -> None:
        self._say(self._office.replies.get("greeting", "220 here"))
        while line := self._file.readline().decode().strip():
            if not self._sealed:
                self._office.in_the_clear.append(line)
            word = line.split()[0].upper()
            reply = next(
                (said for begin, said in self._office.replies.items() if line.upper().startswith(begin)), None
            )
            if reply is not None:
                self._say(reply)
            elif word == "QUIT":
                return
            else:
                getattr(self, f"_{word.lower()}")(line)

    def _say(self, text: str) -> None:
        if not text:
            raise ConnectionAbortedError
        self._connection.sendall(text.encode() + b"\r\n")

    def _ehlo(self, _line: str) -> None:
        offers = ["here"]
        if self._office.tls == "starttls" and not self._sealed:
            offers.append("STARTTLS")
        if self._office.login:
            offers.append("AUTH PLAIN")
        for offer in offers[:-1]:
            self._say(f"250-{offer}")
        self._say(f"250 {offers[-1]}")

    def _helo(self, _line: str) -> None:
        self._say("500 what?")

    def _starttls(self, _line: str) -> None:
        self._say("220 go on")
        self._file.close()
        self._connection = self._context.wrap_socket(self._connection, server_side=True)
        self._file, self._sealed = self._connection.makefile("rb"), True

    def _auth(self, line: str) -> None:
        _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
        self._office.logins.append(user)
        self._say("235 yes" if (user, password) == self._office.login else f"535 not {password}")

    def _mail(self, line: str) -> None:
        self._sender, self._to = line, []
        self._say("250 yes")

    def _rcpt(self, line: str) -> None:
        self._to.append(line[line.index("<") + 1 : line.index(">")])
        self._say("250 yes")

    def _data(self, _line: str) -> None:
        self._say("354 go on")
        lines = []
        while (line := self._file.readline()) != b".\r\n":
            if not line:
                return
            lines.append(line[1:] if line.startswith(b".") else line)
        mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self._office.mails.append(mail)
        self._office.envelopes.append((self._sender, tuple(self._to)))
        self._say(self._office.replies.get("taken", "250 taken"))

    def _rset(self, _line: str) -> None:
        self._say("250 yes")
