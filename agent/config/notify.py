"""[notify.NAME]: whom a node tells what happens, and by what means; docs/notices.md says how each works."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from msgspec import Meta

from agent.config.errors import BadParameter
from agent.config.lines import Where
from agent.config.reader import Table, parameters_of, read_known, refuse_unknown, subtables
from agent.config.tables import Name, Port, Region
from agent.config.values import Problems, convert, did_you_mean, either, show
from agent.core.effects import Kind, Severity

LONGEST_URL = 2_048  # characters
_SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}

DestinationKind = Literal["sns", "ses", "smtp", "webhook", "script", "cloudwatch"]
TopicArn = Annotated[
    str,
    Meta(
        title="an SNS topic's ARN",
        pattern=r"^arn:aws[a-z-]*:sns:[a-z]{2}(-[a-z]+)+-[0-9]{1,2}:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?\Z",
        examples=["arn:aws:sns:ap-northeast-1:123456789012:ops"],
    ),
]
MailAddress = Annotated[
    str,
    Meta(
        title="a mail address",
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\Z",
        examples=["ops@example.com"],
    ),
]
Recipients = Annotated[
    tuple[MailAddress, ...], Meta(description="Who gets the mail.", min_length=1, max_length=50)
]
CaFile = Annotated[
    Path | None,
    Meta(description="The certificates to trust, as PEM, in place of the system's: for one's own CA."),
]
Limit = Annotated[int, Meta(description="How long one try may take.", ge=100, le=300_000)]


@dataclass(frozen=True, kw_only=True)
class NotifyTable:
    """[notify.NAME] without its kind's own parameters"""

    kind: Annotated[DestinationKind, Meta(description="The means; see docs/notices.md.")]
    severity: Annotated[Severity, Meta(description="The least that is told there.")] = Severity.WARNING
    hierarchies: Annotated[
        tuple[str, ...],
        Meta(description="Of what is about a hierarchy, only what is about these; else about all."),
    ] = ()
    notices: Annotated[
        tuple[Kind, ...], Meta(description="Only notices of these kinds (as in `kage events`); else all.")
    ] = ()


@dataclass(frozen=True, kw_only=True)
class SnsParameters:
    """An SNS topic."""

    topic: Annotated[TopicArn, Meta(description="The topic; its region may be another than the cluster's.")]

    @property
    def region(self) -> str:
        """The topic's."""
        return self.topic.split(":")[3]


@dataclass(frozen=True, kw_only=True)
class SesParameters:
    """E-mail by SES."""

    sender: Annotated[MailAddress, Meta(description="Whom the mail is from: an identity verified in SES.")]
    to: Recipients
    region: Annotated[Region | None, Meta(description="SES's region; else that of [aws].")] = None


@dataclass(frozen=True, kw_only=True)
class SmtpParameters:
    """E-mail by a mail server."""

    host: Annotated[
        str,
        Meta(
            description="The mail server.",
            title="a host's name or address",
            pattern=r"^[A-Za-z0-9:.-]{1,253}\Z",
            examples=["mail.example.com"],
        ),
    ]
    sender: Annotated[MailAddress, Meta(description="Whom the mail is from.")]
    to: Recipients
    tls: Annotated[
        Literal["starttls", "tls", "none"],
        Meta(
            description="`starttls` begins in the clear and goes on sealed, or fails; `tls` from the start."
        ),
    ] = "starttls"
    port: Annotated[Port | None, Meta(description="Else 587 for starttls, 465 for tls, 25 for none.")] = None
    user: Annotated[str | None, Meta(description="Who logs in; without it nobody does.", min_length=1)] = None
    password_file: Annotated[
        Path | None,
        Meta(description="A file whose first line is the password, mode 0400."),
    ] = None
    ca_file: CaFile = None
    limit_ms: Limit = 20_000

    @property
    def port_used(self) -> int:
        """As given, else what is usual."""
        return self.port or _SMTP_PORTS[self.tls]

    def __post_init__(self) -> None:
        if (self.user is None) != (self.password_file is None):
            raise BadParameter("user", "user and password_file belong together: write both, or neither")
        if self.user is not None and self.tls == "none" and not _is_loopback(self.host):
            raise BadParameter("tls", 'a password isn\'t sent in the clear: write "starttls" or "tls"')


@dataclass(frozen=True, kw_only=True)
class WebhookParameters:
    """An HTTP POST."""

    url: Annotated[  # it may hold a token: never in logs
        str, Meta(description="Where it goes: https://…, or http://… to this machine.")
    ] = field(repr=False)
    secret_file: Annotated[
        Path | None,
        Meta(description="A file whose first line signs each request (HMAC-SHA256), mode 0400."),
    ] = None
    ca_file: CaFile = None
    limit_ms: Limit = 10_000

    @property
    def parts(self) -> SplitResult:
        """The URL's."""
        return urlsplit(self.url)

    @property
    def place(self) -> str:
        """As much of the URL as may be shown."""
        return f"{self.parts.scheme}://{self.parts.netloc}"

    def __post_init__(self) -> None:
        if why := _trouble_of_url(self.url):
            raise BadParameter("url", why)


@dataclass(frozen=True, kw_only=True)
class ScriptParameters:
    """A program of one's own."""

    command: Annotated[
        tuple[str, ...],
        Meta(
            description="A program with its arguments (no shell), by absolute path; the notice is its stdin, "
            "as JSON, and 0 says that it is done.",
            min_length=1,
        ),
    ]
    limit_ms: Limit = 30_000

    def __post_init__(self) -> None:
        if not self.command[0].startswith("/"):
            example = "/usr/local/bin/tell"
            raise BadParameter(
                "command",
                f"write the program's absolute path such as {show(example)}, not {show(self.command[0])}",
            )


@dataclass(frozen=True, kw_only=True)
class CloudWatchParameters:
    """CloudWatch metrics, and alarms over them."""

    namespace: Annotated[
        str,
        Meta(
            description="The metrics' namespace.",
            title="a namespace of at most 255 letters, digits, . _ / # : - that doesn't begin with AWS/",
            pattern=r"^(?!AWS/)[A-Za-z0-9._/#:-]{1,255}\Z",
            examples=["Kagemusha"],
        ),
    ] = "Kagemusha"
    interval_ms: Annotated[int, Meta(description="Time between two puts.", ge=10_000, le=3_600_000)] = 60_000
    alarm_topics: Annotated[
        tuple[TopicArn, ...],
        Meta(
            description="Topics of the same region that CloudWatch tells when the metrics fail to come, or "
            "say that a hierarchy isn't in service: the agent then makes and keeps the alarms. Without any "
            "it makes none.",
            max_length=5,
        ),
    ] = ()
    region: Annotated[Region | None, Meta(description="CloudWatch's region; else that of [aws].")] = None


DestinationParameters = (
    SnsParameters
    | SesParameters
    | SmtpParameters
    | WebhookParameters
    | ScriptParameters
    | CloudWatchParameters
)
KINDS: Mapping[DestinationKind, type[DestinationParameters]] = {
    "sns": SnsParameters,
    "ses": SesParameters,
    "smtp": SmtpParameters,
    "webhook": WebhookParameters,
    "script": ScriptParameters,
    "cloudwatch": CloudWatchParameters,
}


@dataclass(frozen=True, kw_only=True)
class NotifySetup:
    """One destination: what is told there, and how."""

    name: str
    table: NotifyTable
    parameters: DestinationParameters


def read_notify(document: Table, hierarchies: Collection[str], problems: Problems) -> tuple[NotifySetup, ...]:
    """Every [notify.NAME] that nothing is wrong with; `hierarchies` are those that there are."""
    tables = subtables(document, "notify", "NAME", (), problems)
    read = [_read_one(name, table, hierarchies, problems) for name, table in tables.items()]
    return tuple(each for each in read if each is not None)


def _read_one(
    name: str, table: Table, hierarchies: Collection[str], problems: Problems
) -> NotifySetup | None:
    where: Where = ("notify", name)
    convert(Name, name, where, problems)
    settings = read_known(NotifyTable, table, lambda key: (*where, key), problems)
    if settings is None:
        return None
    for hierarchy in settings.hierarchies:
        if hierarchy not in hierarchies:
            hint = did_you_mean(hierarchy, hierarchies) or f"; there is {either(map(show, hierarchies))}"
            problems.add((*where, "hierarchies"), f"no hierarchy is called {show(hierarchy)}{hint}")
    cls: type[Any] = KINDS[settings.kind]
    refuse_unknown(table, [*parameters_of(NotifyTable), *parameters_of(cls)], where, problems)
    parameters = read_known(cls, table, lambda key: (*where, key), problems)
    return None if parameters is None else NotifySetup(name=name, table=settings, parameters=parameters)


def _trouble_of_url(url: str) -> str:
    """What is wrong with it, without a word of it: it may hold a secret."""
    if len(url) > LONGEST_URL or not url.isascii() or any(not "!" <= sign <= "~" for sign in url):
        return f"write a URL of at most {LONGEST_URL} printable ASCII characters without spaces"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return 'write a URL such as "https://hooks.example.com/kage"'
    if parts.scheme not in ("http", "https") or not host:
        return 'write a URL such as "https://hooks.example.com/kage"'
    if parts.username is not None or parts.password is not None:
        return "holds a user or password: sign the requests by secret_file in place of it"
    if parts.fragment:
        return "ends in a fragment (#…), which no server gets to see: leave it out"
    if parts.scheme == "http" and not _is_loopback(host):
        return "write https: only this machine itself may be told in the clear"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
