"""An arbiter's documents as items of a DynamoDB table: {"id": "garoon/app", "version": …, "document": …}.

The version is a digest of the document, so no two writes have the same one, and an item that somebody
edited by hand is found out. All nodes must use the same region's table: a global table's replicas
each keep conditions for themselves.
Source: the DynamoDB developer guide, "Condition expressions" and "Read consistency".
"""

from __future__ import annotations

import hashlib
from typing import Any

from agent.arbiters.contract import Version
from agent.arbiters.documents import Unreadable
from agent.arbiters.store import Mismatch
from agent.aws import AwsError, AwsFault, AwsSession
from agent.aws.errors import UNAUTHORIZED_CODES
from agent.config.arbiter import DynamoDbParameters
from recovery_kits.contract import Permission


class DynamoDbStore:
    """The `Store` of one cluster in one table."""

    def __init__(self, parameters: DynamoDbParameters, cluster: str, aws: AwsSession) -> None:
        self._table, self._cluster, self._aws = parameters.table, cluster, aws

    @staticmethod
    def permissions(parameters: DynamoDbParameters, cluster: str) -> tuple[Permission, ...]:
        """Read and write this cluster's items, and no other's."""
        table = f"table/{parameters.table}"
        return (
            Permission(
                why="Vote",
                actions=("dynamodb:GetItem", "dynamodb:PutItem"),
                resources=(
                    f"arn:{{partition}}:dynamodb:{parameters.region or '{region}'}:{{account}}:{table}",
                ),
                conditions={"ForAllValues:StringLike": {"dynamodb:LeadingKeys": f"{cluster}/*"}},
            ),
        )

    async def get(self, name: str) -> tuple[bytes, Version] | None:
        """Read consistently; raises Unreadable where the item isn't as `put` writes it."""
        key = {"id": {"S": self._id(name)}}
        answer = await self._call("get_item", Key=key, ConsistentRead=True)
        item = answer.get("Item")
        if item is None:
            return None
        content = item.get("document", {}).get("S", "").encode()
        if item.get("version", {}).get("S") != digest(content):
            raise Unreadable("its version isn't that of its document")
        return content, digest(content)

    async def put(self, name: str, content: bytes, expected: Version | None) -> Version:
        """Write if the item has that version; raises Mismatch."""
        item = {"id": self._id(name), "version": digest(content), "document": content.decode()}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(id)"}
        if expected is not None:
            condition = {
                "ConditionExpression": "#version = :expected",
                "ExpressionAttributeNames": {"#version": "version"},
                "ExpressionAttributeValues": {":expected": {"S": expected}},
            }
        try:
            await self._call("put_item", Item={key: {"S": value} for key, value in item.items()}, **condition)
        except AwsError as error:
            if error.code == "ConditionalCheckFailedException":
                raise Mismatch from error
            raise
        return digest(content)

    def place(self, name: str) -> str:
        """Where the document is, in words."""
        return f'the item "{self._id(name)}" of the DynamoDB table {self._table}'

    def step(self, error: AwsError) -> str:
        """What an operator can do about an answer that refuses."""
        if error.code in UNAUTHORIZED_CODES:
            return f"{error.step} on the table {self._table}"
        if error.kind is AwsFault.NOT_FOUND:
            return f"create the table {self._table} in this region, with the partition key id (a string)"
        if error.code == "ValidationException":
            return f"the table {self._table} needs the partition key id (a string), and no sort key"
        return error.step or "see what it says of the request; if it looks right, report it"

    async def load(self) -> None:
        """Load what the first request needs; raises AwsError."""
        await self._aws.load("dynamodb")

    def close(self) -> None:
        """Let threads and connections go."""
        self._aws.close()

    def _id(self, name: str) -> str:
        return f"{self._cluster}/{name}"

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return await self._aws.call("dynamodb", operation, TableName=self._table, **parameters)


def digest(content: bytes) -> Version:
    """The version of a document."""
    return Version(hashlib.sha256(content).hexdigest()[:32])
