"""What AWS must allow a node's role so that it can tell people."""

from __future__ import annotations

from collections.abc import Iterator

from agent.config.model import Config
from agent.config.notify import CloudWatchParameters, NotifySetup, SesParameters, SnsParameters
from agent.core.ids import NodeId
from agent.notify.cloudwatch import alarm_prefix
from recovery_kits.contract import Permission


def notice_permissions(config: Config, _node: NodeId | None) -> Iterator[Permission]:
    """For every destination; each node tells its own, so all need the same."""
    for setup in config.notify:
        yield from _of(setup, config.cluster.name)


def _of(setup: NotifySetup, cluster: str) -> Iterator[Permission]:
    name = "".join(
        part.capitalize() for part in "".join(c if c.isalnum() else " " for c in setup.name).split()
    )
    match setup.parameters:
        case SnsParameters() as sns:
            yield Permission(why=f"Notify{name}", actions=("sns:Publish",), resources=(sns.topic,))
        case SesParameters() as ses:
            where = f"arn:{{partition}}:ses:{ses.region or '{region}'}:{{account}}:identity/"
            yield Permission(
                why=f"Notify{name}",
                actions=("ses:SendEmail",),
                resources=(where + ses.sender, where + ses.sender.partition("@")[2]),
                conditions={"StringEquals": {"ses:FromAddress": ses.sender}},
            )
        case CloudWatchParameters() as cloudwatch:
            yield Permission(
                why=f"Notify{name}",
                actions=("cloudwatch:PutMetricData",),
                conditions={"StringEquals": {"cloudwatch:namespace": cloudwatch.namespace}},
            )
            if cloudwatch.alarm_topics:
                where = f"arn:{{partition}}:cloudwatch:{cloudwatch.region or '{region}'}:{{account}}:alarm:"
                yield Permission(
                    why=f"Notify{name}Alarms",
                    actions=("cloudwatch:PutMetricAlarm",),
                    resources=(f"{where}{alarm_prefix(cluster)}*",),
                )
