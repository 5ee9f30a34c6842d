"""[notify.NAME]: what is accepted, and that no secret is shown by what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import parse
from agent.config.diff import changes
from agent.config.errors import ConfigError
from agent.config.model import Config
from agent.config.notify import (
    CloudWatchParameters,
    ScriptParameters,
    SesParameters,
    SmtpParameters,
    SnsParameters,
    WebhookParameters,
)
from agent.core.effects import Kind, Severity
from agent.core.ids import NodeId, Tag
from agent.notify.permissions import notice_permissions
from tests.config.fakes import GOOD, KITS, SOURCE

TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:ops"
ALL = f"""
[notify.topic]
kind = "sns"
topic = "{TOPIC}"
severity = "alarm"
hierarchies = ["app"]
notices = ["peer-lost", "resource-failed"]

[notify.mail-1]
kind = "ses"
sender = "kage@example.com"
to = ["ops@example.com"]
region = "eu-west-1"

[notify.mail-2]
kind = "smtp"
host = "mail.example.com"
sender = "kage@example.com"
to = ["ops@example.com"]
user = "kage"
password_file = "/etc/kagemusha/mail"

[notify.hook]
kind = "webhook"
url = "https://hooks.example.com/x?y=z"
secret_file = "/etc/kagemusha/hook"

[notify.script]
kind = "script"
command = ["/usr/local/bin/tell", "-v"]
limit = "5s"

[notify.figures]
kind = "cloudwatch"
interval = "2min"
alarm_topics = ["{TOPIC}"]
"""


def config(more: str) -> Config:
    return parse(GOOD + more, SOURCE, KITS)


def refusal(more: str) -> str:
    with pytest.raises(ConfigError) as refused:
        config(more)
    return str(refused.value)


def test_every_kind_is_read_in_the_order_of_the_file() -> None:
    topic, ses, smtp, hook, script, figures = config(ALL).notify
    assert (topic.name, topic.table.severity, topic.table.hierarchies) == ("topic", Severity.ALARM, ("app",))
    assert topic.table.notices == (Kind.PEER_LOST, Kind.RESOURCE_FAILED)
    assert topic.parameters == SnsParameters(topic=TOPIC)
    assert isinstance(ses.parameters, SesParameters)
    assert isinstance(smtp.parameters, SmtpParameters)
    assert (smtp.parameters.port_used, smtp.parameters.tls) == (587, "starttls")
    assert isinstance(hook.parameters, WebhookParameters)
    assert hook.table.severity is Severity.WARNING
    assert script.parameters == ScriptParameters(command=("/usr/local/bin/tell", "-v"), limit_ms=5_000)
    assert figures.parameters == CloudWatchParameters(interval_ms=120_000, alarm_topics=(TOPIC,))


def test_a_running_agent_may_take_over_any_change_of_them() -> None:
    assert changes(config(""), config(ALL), [Tag("server")]) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/s3cret",
        "ftp://hooks.example.com/s3cret",
        "https://user:s3cret@hooks.example.com/",
        "https:///s3cret",
        "https://hooks.example.com:99999/s3cret",
        "https://hooks.example.com/s3cret\\r\\nX-A: b",
        "https://hooks.example.com/s3cret x",
        "https://hooks.example.com/s3cret#x",
        "https://[::1/s3cret",
        "https://hooks.example.com/s3cret/" + "x" * 3_000,
        "//s3cret",
    ],
)
def test_a_url_that_is_wrong_is_refused_at_its_line_and_not_shown(url: str) -> None:
    told = refusal(f'\n[notify.hook]\nkind = "webhook"\nurl = "{url}"\n')
    line = (GOOD + "\n[notify.hook]\nkind\n").count("\n") + 1
    assert told.startswith(f"{SOURCE}:{line}: notify.hook.url: ")
    assert "s3cret" not in told


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/x", "http://[::1]/", "http://localhost/x", "https://a.b"]
)
def test_http_is_for_this_machine_alone(url: str) -> None:
    assert config(f'\n[notify.hook]\nkind = "webhook"\nurl = "{url}"\n').notify


def permissions(more: str) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [
        (each.why, each.actions, each.resources) for each in notice_permissions(config(more), NodeId("db-01"))
    ]


def test_permissions_are_for_exactly_what_is_called() -> None:
    where = "arn:{partition}:ses:eu-west-1:{account}:identity/"
    assert permissions(ALL) == [
        ("NotifyTopic", ("sns:Publish",), (TOPIC,)),
        ("NotifyMail1", ("ses:SendEmail",), (f"{where}kage@example.com", f"{where}example.com")),
        ("NotifyFigures", ("cloudwatch:PutMetricData",), ("*",)),
        (
            "NotifyFiguresAlarms",
            ("cloudwatch:PutMetricAlarm",),
            ("arn:{partition}:cloudwatch:{region}:{account}:alarm:kagemusha shop: *",),
        ),
    ]
    (_, mail, figures, _) = notice_permissions(config(ALL), None)
    assert mail.conditions == {"StringEquals": {"ses:FromAddress": "kage@example.com"}}
    assert figures.conditions == {"StringEquals": {"cloudwatch:namespace": "Kagemusha"}}
    assert permissions("") == []


def test_the_page_names_every_kind_and_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "notices.md").read_text()
    for kind in ("sns", "ses", "smtp", "webhook", "script", "cloudwatch"):
        assert f'kind = "{kind}"' in page
