"""Messages to an SNS topic, or by SES."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from agent.aws import AwsSession
from agent.aws.errors import AwsError
from agent.config.notify import SesParameters, SnsParameters
from agent.notify.contract import NotSent
from agent.notify.message import Message


class Topic:
    """An SNS topic; a FIFO one keeps the order on the way to its subscribers, too."""

    def __init__(self, parameters: SnsParameters, aws: AwsSession) -> None:
        self._arn, self._aws = parameters.topic, aws

    async def warm_up(self) -> None:
        """Load the client."""
        with suppress(AwsError):
            await self._aws.load("sns")

    async def send(self, message: Message) -> None:
        """Sent is what SNS has given a message id."""
        about = {
            "cluster": message.cluster,
            "node": message.node,
            "severity": message.severity,
            "kind": message.kind,
            "hierarchy": message.hierarchy,
        }
        queue: dict[str, Any] = (
            {"MessageGroupId": f"{message.cluster}.{message.node}"[:128]}
            if self._arn.endswith(".fifo")
            else {}
        )
        if queue:
            queue["MessageDeduplicationId"] = f"{message.id}.{message.cluster}.{message.node}"[:128]
        try:
            await self._aws.call(
                "sns",
                "publish",
                TopicArn=self._arn,
                Subject=message.subject,
                Message=message.body,
                MessageAttributes={  # for filter policies of subscriptions
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in about.items()
                    if value
                },
                **queue,
            )
        except AwsError as error:
            raise NotSent(f"{self._arn}: {error}") from error


class SesMail:
    """E-mail by SES."""

    def __init__(self, parameters: SesParameters, aws: AwsSession) -> None:
        self._parameters, self._aws = parameters, aws

    async def warm_up(self) -> None:
        """Load the client."""
        with suppress(AwsError):
            await self._aws.load("ses")

    async def send(self, message: Message) -> None:
        """Sent is what SES has taken."""
        try:
            await self._aws.call(
                "ses",
                "send_email",
                Source=self._parameters.sender,
                Destination={"ToAddresses": list(self._parameters.to)},
                Message={
                    "Subject": {"Data": message.subject, "Charset": "UTF-8"},
                    "Body": {"Text": {"Data": message.body, "Charset": "UTF-8"}},
                },
            )
        except AwsError as error:
            raise NotSent(f"SES: {error}") from error
