"""What holds for DynamoDB alone."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from agent.arbiters.contract import ArbiterRefused, ArbiterUnanswered
from tests.arbiters.benches import CLUSTER, TABLE, DynamoDbBench
from tests.arbiters.records import HIERARCHY, record
from tests.aws_server import AwsServer, Rule


def test_every_read_asks_for_consistency(
    runner: asyncio.Runner, aws_server: AwsServer, dynamodb: DynamoDbBench
) -> None:
    """moto is consistent anyway; AWS, unasked, may show what was there a second ago."""

    async def scene() -> None:
        arbiter = await dynamodb.arbiter()
        aws_server.control.set_faults(
            Rule(operation=dynamodb.read, body='"ConsistentRead": true', fault="error")
        )
        with pytest.raises(ArbiterUnanswered):
            await arbiter.read(HIERARCHY)

    runner.run(scene())


def test_an_item_that_was_edited_by_hand_is_refused(
    runner: asyncio.Runner, aws_server: AwsServer, dynamodb: DynamoDbBench
) -> None:
    """Its version is still that of the document before: a write that rests on that one would succeed."""

    async def scene() -> None:
        arbiter = await dynamodb.arbiter()
        await arbiter.write(HIERARCHY, record(), None)
        with closing(aws_server.dynamodb()) as client:
            client.update_item(
                TableName=TABLE,
                Key={"id": {"S": f"{CLUSTER}/{HIERARCHY}"}},
                UpdateExpression="SET document = :document",
                ExpressionAttributeValues={":document": {"S": "{}"}},
            )
        with pytest.raises(ArbiterRefused, match="its version isn't that of its document"):
            await arbiter.read(HIERARCHY)

    runner.run(scene())
