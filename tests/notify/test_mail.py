"""E-mail through a real server: sealed, logged in, bounded; what was taken counts, whatever follows."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from agent.config.notify import SmtpParameters
from agent.notify.contract import NotSent
from agent.notify.mail import Mail
from tests.notify.messages import message
from tests.notify.servers import PostOffice, mail_server, odd_server
from tests.runtime.waiting import on_loop

TO = ("ops@example.com", "boss@example.com")


def mail(office: PostOffice, **more: Any) -> Mail:
    settings = {"host": "127.0.0.1", "port": office.port, "sender": "kage@example.com", "to": TO, **more}
    return Mail(SmtpParameters(**{"tls": office.tls, **settings}))


async def refused(destination: Mail) -> str:
    with pytest.raises(NotSent) as caught:
        await destination.send(message())
    return str(caught.value)


@on_loop
async def test_a_mail_says_everything_and_is_sent_once(certificate: tuple[Path, Path]) -> None:
    with mail_server(PostOffice(), certificate) as office:
        await mail(office).send(message("日本語\r\nBcc: nobody@example.com"))
    (got,) = office.mails
    assert got["Subject"] == "[shop] ALARM db-01: resource-failed garoon/ip-vip"
    assert (got["From"], got["To"]) == ("kage@example.com", "ops@example.com, boss@example.com")
    assert got["Auto-Submitted"] == "auto-generated"
    assert got["Message-ID"] == "<7.db-01.shop@kagemusha.invalid>"
    assert got["Bcc"] is None
    assert "\n日本語  Bcc: nobody@example.com\r\n" in got.get_content()
    assert "What is left to do: " in got.get_content()
    ((sender, to),) = office.envelopes
    assert "<kage@example.com>" in sender
    assert to == TO


@pytest.mark.parametrize("tls", ["starttls", "tls"])
@on_loop
async def test_passwords_go_over_tls_alone(
    tls: str, certificate: tuple[Path, Path], secret_file: Path
) -> None:
    office = PostOffice(tls=tls, login=("kage", "swordfish"))
    with mail_server(office, certificate):
        await mail(office, user="kage", password_file=secret_file, ca_file=certificate[0]).send(message())
    assert office.logins == ["kage"]
    assert len(office.mails) == 1
    assert [line.split()[0] for line in office.in_the_clear] == (
        ["ehlo", "STARTTLS"] if tls == "starttls" else []
    )


@pytest.mark.parametrize("tls", ["starttls", "tls"])
@on_loop
async def test_a_server_that_isnt_trusted_gets_nothing(tls: str, certificate: tuple[Path, Path]) -> None:
    with mail_server(PostOffice(tls=tls), certificate) as office:
        assert "certificate isn't trusted: self-signed" in await refused(mail(office))
    assert not office.mails


@on_loop
async def test_a_server_that_offers_no_tls_gets_nothing(certificate: tuple[Path, Path]) -> None:
    with mail_server(PostOffice(), certificate) as office:
        why = await refused(mail(office, tls="starttls"))
    assert "correct tls and port" in why
    assert not office.mails


@on_loop
async def test_a_wrong_password_is_told_and_not_shown(
    certificate: tuple[Path, Path], secret_file: Path
) -> None:
    with mail_server(PostOffice(tls="tls", login=("kage", "another")), certificate) as office:
        why = await refused(mail(office, user="kage", password_file=secret_file, ca_file=certificate[0]))
    assert "the login is refused: 535 (correct user, or the first line of password_file)" in why
    assert "swordfish" not in why


@pytest.mark.parametrize(
    ("at", "reply", "words"),
    [
        ("greeting", "554 go away", "554 go away"),
        ("MAIL", "550 not you", "550 not you (correct sender)"),
        (
            "RCPT",
            "550 \x1b[31mno such user",
            "every recipient is refused: 550  [31mno such user (correct to)",
        ),
        ("DATA", "451 later", "451 later"),
        ("taken", "452 disk full", "452 disk full"),
        ("taken", "", "Connection unexpectedly closed"),
        ("MAIL", "", "Connection unexpectedly closed"),
        ("EHLO", "hello?", "500 what?"),
    ],
)
@on_loop
async def test_each_refusal_is_told(at: str, reply: str, words: str, certificate: tuple[Path, Path]) -> None:
    office = PostOffice(replies={at: reply})
    with mail_server(office, certificate):
        assert words in await refused(mail(office))
        office.replies.clear()
        await mail(office).send(message())


@on_loop
async def test_one_recipient_that_is_refused_doesnt_keep_it_from_the_others(
    certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with mail_server(PostOffice(replies={"RCPT TO:<BOSS": "550 gone"}), certificate) as office:
        await mail(office).send(message())
    assert [to for _, to in office.envelopes] == [("ops@example.com",)]
    assert "refuses boss@example.com: 550 gone" in caplog.text


@on_loop
async def test_a_quit_that_hangs_isnt_waited_for(certificate: tuple[Path, Path]) -> None:
    with mail_server(PostOffice(replies={"QUIT": "250-"}), certificate) as office:
        await mail(office, limit_ms=5_000).send(message())
    assert len(office.mails) == 1


@on_loop
async def test_a_server_that_says_nothing_is_left_in_time() -> None:
    def silence(connection: socket.socket) -> None:
        while connection.recv(4_096):
            pass

    with odd_server(silence) as port:
        office = PostOffice(port=port)
        assert "127.0.0.1" in await refused(mail(office, limit_ms=200))
