"""From the configuration to destinations that work."""

from __future__ import annotations

from agent.aws import AwsSession
from agent.config.model import Config
from agent.config.notify import (
    CloudWatchParameters,
    NotifySetup,
    ScriptParameters,
    SesParameters,
    SmtpParameters,
    SnsParameters,
    WebhookParameters,
)
from agent.notify.aws import SesMail, Topic
from agent.notify.cloudwatch import CloudWatch
from agent.notify.contract import Destination
from agent.notify.mail import Mail
from agent.notify.script import Script
from agent.notify.webhook import Webhook


class Sessions:
    """AWS sessions of the notices' own, one for each region: kits and fencing never wait for a notice."""

    def __init__(self, config: Config) -> None:
        self._aws = config.aws
        self._made: dict[str | None, AwsSession] = {}

    def of(self, region: str | None) -> AwsSession:
        """The region's; None: that of [aws], or this instance's."""
        region = region or self._aws.region
        if region not in self._made:
            self._made[region] = AwsSession(
                region,
                connect_timeout_ms=self._aws.connect_timeout_ms,
                read_timeout_ms=self._aws.read_timeout_ms,
            )
        return self._made[region]

    def close(self) -> None:
        """Let go of threads and connections."""
        for session in self._made.values():
            session.close()


def open_destination(
    setup: NotifySetup, cluster: str, node: str, sessions: Sessions
) -> Destination | CloudWatch:
    """What `setup` describes."""
    match setup.parameters:
        case SnsParameters() as sns:
            return Topic(sns, sessions.of(sns.region))
        case SesParameters() as ses:
            return SesMail(ses, sessions.of(ses.region))
        case SmtpParameters() as smtp:
            return Mail(smtp)
        case WebhookParameters() as webhook:
            return Webhook(webhook)
        case ScriptParameters() as script:
            return Script(script)
        case CloudWatchParameters() as cloudwatch:
            return CloudWatch(cloudwatch, cluster, node, sessions.of(cloudwatch.region))
