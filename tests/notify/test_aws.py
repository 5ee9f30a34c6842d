"""SNS, SES and CloudWatch over HTTP: what arrives there, and what is said when they fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest

from agent.aws import AwsSession
from agent.config import parse
from agent.config.notify import (
    CloudWatchParameters,
    NotifySetup,
    NotifyTable,
    SesParameters,
    SnsParameters,
)
from agent.core.effects import Severity
from agent.notify.aws import SesMail, Topic
from agent.notify.cloudwatch import CloudWatch, Figures
from agent.notify.contract import NotSent
from agent.notify.meter import Meter
from agent.notify.opening import Sessions, open_destination
from agent.notify.permissions import notice_permissions
from agent.notify.wants import Wants
from agent.runtime.noticelog import NoticeLog
from tests.aws_server import REGION, AwsServer, Rule
from tests.config.fakes import GOOD, KITS, SOURCE
from tests.notify.messages import ME, message, notice
from tests.runtime.waiting import on_loop, until

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ses import SESClient

FIGURES = Figures(nodes_alive=2, in_service={"garoon": True, "mail": False})
ABSENT = f"arn:aws:sns:{REGION}:123456789012:none"


@asynccontextmanager
async def session() -> AsyncIterator[AwsSession]:
    with closing(AwsSession(REGION, read_timeout_ms=5_000)) as made:
        yield made


@pytest.fixture
def clients(aws_server: AwsServer) -> Iterator[Any]:
    made = []

    def make(service: str) -> Any:
        made.append(boto3.Session(region_name=REGION).client(service))  # type: ignore[call-overload]
        return made[-1]

    yield make
    for each in made:
        each.close()


def subscribe(clients: Any, name: str) -> tuple[str, str]:
    """A topic, and the URL of a queue that gets what is published there."""
    is_fifo = name.endswith(".fifo")
    sns, sqs = clients("sns"), clients("sqs")
    topic = sns.create_topic(Name=name, Attributes={"FifoTopic": "true"} if is_fifo else {})["TopicArn"]
    queue = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if is_fifo else {})["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:123456789012:{name}")
    return topic, queue


@pytest.mark.parametrize("name", ["ops", "ops.fifo"])
@on_loop
async def test_a_topics_subscribers_get_it(clients: Any, name: str) -> None:
    topic, queue = subscribe(clients, name)
    async with session() as aws:
        destination = Topic(SnsParameters(topic=topic), aws)
        await destination.warm_up()
        await destination.send(message())
        await destination.send(message("then this", 8))
    got = clients("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    told = [json.loads(each["Body"]) for each in got]
    if not name.endswith(".fifo"):  # only that keeps the order behind the topic, too
        told.sort(key=lambda each: "then this" in each["Message"])
    first, second = told
    assert "then this" in second["Message"]
    assert first["Subject"] == "[shop] ALARM db-01: resource-failed garoon/ip-vip"
    assert first["Message"] == message().body
    attributes_told = {key: value["Value"] for key, value in first["MessageAttributes"].items()}
    assert attributes_told == {
        "cluster": "shop",
        "node": "db-01",
        "severity": "alarm",
        "kind": "resource-failed",
        "hierarchy": "garoon",
    }


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (None, "NotFound"),
        (Rule(fault="error", status=400, code="Throttling"), "Throttling"),
        (Rule(fault="error", status=403, code="AuthorizationError"), "AuthorizationError"),
        (Rule(fault="error", status=500, code="InternalError"), "InternalError"),
        (Rule(fault="drop-before"), "Publish"),
        (Rule(fault="drop-after"), "Publish"),
    ],
)
@on_loop
async def test_a_topic_that_doesnt_take_it_is_told(
    aws_server: AwsServer, rule: Rule | None, words: str
) -> None:
    if rule is not None:
        aws_server.control.set_faults(rule)
    async with session() as aws:
        with pytest.raises(NotSent, match=words) as caught:
            await Topic(SnsParameters(topic=ABSENT), aws).send(message())
    assert str(caught.value).startswith(f"{ABSENT}: Publish: ")


@on_loop
async def test_mail_goes_by_ses_from_a_verified_sender(clients: Any) -> None:
    ses = cast("SESClient", clients("ses"))
    parameters = SesParameters(sender="kage@example.com", to=("ops@example.com", "boss@example.com"))
    async with session() as aws:
        destination = SesMail(parameters, aws)
        await destination.warm_up()
        with pytest.raises(NotSent, match="SES: SendEmail: MessageRejected"):
            await destination.send(message())
        ses.verify_email_identity(EmailAddress="kage@example.com")
        await destination.send(message())
    assert ses.get_send_quota()["SentLast24Hours"] == 2.0, "one for each recipient"


def dimensions(cloudwatch: CloudWatchClient, metric: str) -> list[dict[str, str]]:
    """What there is of one metric in CloudWatch."""
    listed = cloudwatch.list_metrics(Namespace="Kagemusha", MetricName=metric)["Metrics"]
    return [{each["Name"]: each["Value"] for each in found["Dimensions"]} for found in listed]


@on_loop
async def test_figures_and_alarms_arrive(clients: Any, aws_server: AwsServer) -> None:
    cloudwatch = cast("CloudWatchClient", clients("cloudwatch"))
    parameters = CloudWatchParameters(alarm_topics=(ABSENT,), interval_ms=90_000)
    async with session() as aws:
        destination = CloudWatch(parameters, "shop", "db-01", aws)
        await destination.warm_up()
        await destination.put(3, FIGURES)
        for _ in range(2):
            await destination.put_alarms(("garoon", "mail"))
    here = {"Cluster": "shop", "Node": "db-01"}
    assert dimensions(cloudwatch, "NodesAlive") == dimensions(cloudwatch, "Notices") == [here]
    assert dimensions(cloudwatch, "InService") == [
        {"Cluster": "shop", "Hierarchy": name} for name in ("garoon", "mail")
    ]
    alarms = {each["AlarmName"]: each for each in cloudwatch.describe_alarms()["MetricAlarms"]}
    assert set(alarms) == {
        "kagemusha shop: db-01 is silent",
        "kagemusha shop: garoon is not in service",
        "kagemusha shop: mail is not in service",
    }
    for alarm in alarms.values():
        assert (alarm["TreatMissingData"], alarm["ComparisonOperator"]) == ("breaching", "LessThanThreshold")
        assert (alarm["AlarmActions"], alarm["OKActions"], alarm["Period"]) == ([ABSENT], [ABSENT], 120)
    assert alarms["kagemusha shop: garoon is not in service"]["Statistic"] == "Maximum"


@on_loop
async def test_without_topics_no_alarm_is_made(aws_server: AwsServer) -> None:
    async with session() as aws:
        await CloudWatch(CloudWatchParameters(), "shop", "db-01", aws).put_alarms(("garoon",))
    assert aws_server.control.journal() == []


@on_loop
async def test_notices_are_counted_until_a_put_has_worked(
    aws_server: AwsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, puts = NoticeLog(tmp_path / "events.jsonl", ME), list[int]()
    log.add(notice("before"))
    async with session() as aws:
        cloudwatch = CloudWatch(CloudWatchParameters(), "shop", "db-01", aws)
        put = cloudwatch.put

        async def counted(notices: int, figures: Figures | None = None) -> None:
            await put(notices, figures)
            puts.append(notices)

        cloudwatch.put = counted  # type: ignore[method-assign]
        wants = Wants(NotifyTable(kind="cloudwatch", severity=Severity.ALARM), {})
        meter = Meter("figures", cloudwatch, wants, log, lambda: FIGURES, ("garoon",), interval_ms=5)
        aws_server.control.set_faults(
            Rule(operation="*:PutMetricData", fault="error", status=500, code="InternalError")
        )
        task = asyncio.create_task(meter.run())
        try:
            log.add(notice("1"))
            await until(lambda: len(aws_server.control.journal()) > 1)
            log.add(notice("2"))
            log.add(notice("not for it", severity=Severity.WARNING))
            aws_server.control.set_faults()
            await until(lambda: len(puts) > 2)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    assert sum(puts) == 2
    assert caplog.text.count("figures are missing") == 1


@on_loop
async def test_the_permissions_name_exactly_what_is_called(aws_server: AwsServer) -> None:
    table = NotifyTable(kind="sns")
    setups = (
        NotifySetup(name="topic", table=table, parameters=SnsParameters(topic=ABSENT)),
        NotifySetup(name="mail", table=table, parameters=SesParameters(sender="a@b.c", to=("a@b.c",))),
        NotifySetup(name="figures", table=table, parameters=CloudWatchParameters(alarm_topics=(ABSENT,))),
    )
    config = replace(parse(f'{GOOD}[aws]\nregion = "{REGION}"\n', SOURCE, KITS), notify=setups)
    with closing(Sessions(config)) as sessions:
        for setup in setups:
            destination = open_destination(setup, "shop", "db-01", sessions)
            with suppress(NotSent):  # they are called; that nothing is there is no matter
                if isinstance(destination, CloudWatch):
                    await destination.put(1, FIGURES)
                    await destination.put_alarms(("app",))
                else:
                    await destination.send(message())
    called = {each.operation.replace("monitoring:", "cloudwatch:") for each in aws_server.control.journal()}
    assert called == {action for each in notice_permissions(config, None) for action in each.actions}
