"""One view of each place where an arbiter can keep its records, for tests that hold for all of them."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from agent.arbiters.conditional import ConditionalArbiter
from agent.arbiters.dynamodb import DynamoDbStore, digest
from agent.arbiters.s3 import S3Store
from agent.arbiters.store import Store
from agent.aws import AwsSession
from agent.config.arbiter import DynamoDbParameters, S3Parameters
from tests.arbiters.fake import Call, ScriptedArbiter, ScriptedStore, Trouble
from tests.aws_server import REGION, AwsServer, Rule

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

CLUSTER = "garoon"
TABLE, BUCKET = "kagemusha", "example-kagemusha"
Opened = dict[tuple[str, str], ConditionalArbiter]
PATIENT_S = 20.0  # the limit of a whole call: no machine is as slow
REQUEST_S = 1.0  # how long one request of it is waited for, where something hangs
SLOW_S = 3.0  # longer than that


class Bench(Protocol):
    """A place for records, and what can be done to it from outside."""

    async def arbiter(self, node: int = 0) -> ConditionalArbiter:
        """The arbiter of one node, ready, and patient: nothing is to hang."""

    async def impatient(self) -> ConditionalArbiter:
        """Another one, that gives a request up after REQUEST_S."""

    async def brief(self) -> ConditionalArbiter:
        """Another one, whose whole call has REQUEST_S."""

    def trouble(self, call: Call, trouble: Trouble, left: int | None = 1) -> None:
        """Let the next `left` requests of this kind (None: all) go so."""

    def heal(self) -> None:
        """All goes well again."""

    def calls(self) -> list[Call]:
        """Every request that came, oldest first."""

    async def late_writes_arrive(self) -> None:
        """Return when every write that is under way has been applied or refused."""

    def stored(self, name: str) -> bytes | None:
        """The document as it lies there."""

    def put_by_hand(self, name: str, content: bytes | None) -> None:
        """Put a document there past the arbiter; None: delete it."""


class ScriptedBench:
    """In memory."""

    def __init__(self) -> None:
        self._store = ScriptedStore()
        self.impatient = self.brief = self.arbiter
        self.trouble, self.heal = self._store.trouble, self._store.heal

    async def arbiter(self, node: int = 0) -> ConditionalArbiter:
        return ScriptedArbiter(self._store, limit_s=REQUEST_S)

    def calls(self) -> list[Call]:
        return self._store.calls

    async def late_writes_arrive(self) -> None:
        self._store.apply_late_writes()

    def stored(self, name: str) -> bytes | None:
        return self._store.documents.get(name)

    def put_by_hand(self, name: str, content: bytes | None) -> None:
        if content is None:
            del self._store.documents[name]
        else:
            self._store.documents[name] = content


class AwsBench:
    """In DynamoDB or S3, over HTTP."""

    read: str  # the operations, as the journal calls them
    write: str
    codes: ClassVar[dict[Trouble, tuple[int, str]]]  # HTTP status and code of the service's answer
    parameters: DynamoDbParameters | S3Parameters

    def __init__(self, server: AwsServer, opened: Opened) -> None:
        self._server, self._opened = server, opened
        self._client: Any = None  # boto3's, of the service
        self._done = 0  # writes that AWS has applied or refused
        self.make_place()
        server._app.applied = self._count

    def make_place(self) -> None:
        """The table, the bucket."""
        raise NotImplementedError

    def store(self, aws: AwsSession) -> Store:
        """What an arbiter uses."""
        raise NotImplementedError

    async def arbiter(self, node: int = 0) -> ConditionalArbiter:
        return await self._open(f"node {node}", PATIENT_S, PATIENT_S)

    async def impatient(self) -> ConditionalArbiter:
        return await self._open("impatient", PATIENT_S, REQUEST_S)

    async def brief(self) -> ConditionalArbiter:
        return await self._open("brief", REQUEST_S, PATIENT_S)

    def trouble(self, call: Call, trouble: Trouble, left: int | None = 1) -> None:
        operation = self.read if call == "read" else self.write
        rule = Rule(operation=operation, left=left)
        match trouble:
            case Trouble.LOST_BEFORE:
                rule.fault = "drop-before"
            case Trouble.LOST_AFTER:
                rule.fault = "drop-after"
            case Trouble.HANG:
                rule.fault = "hang"
            case Trouble.SLOW_ANSWER:
                rule.delay_after_s = SLOW_S
            case Trouble.LATE:
                rule.fault = "late"
            case _:
                rule.fault = "error"
                rule.status, rule.code = self.codes[trouble]
        self._server.control.set_faults(*self._server.control.faults(), rule)

    def heal(self) -> None:
        self._server.control.set_faults()

    def calls(self) -> list[Call]:
        return [
            "read" if self._is_read(call.operation) else "write" for call in self._server.control.journal()
        ]

    async def late_writes_arrive(self) -> None:
        self._server.control.release_late()
        async with asyncio.timeout(20):
            while self._done < self._sent():  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.05)

    def close(self) -> None:
        self._server._app.applied = lambda _operation: None
        self._server.control.release_late()
        self._client.close()

    async def _open(self, name: str, limit_s: float, request_s: float) -> ConditionalArbiter:
        """Made once for all tests: loading a client takes longer than one of them."""
        which = (self.read, name)
        if which not in self._opened:
            patience_ms = round(request_s * 1_000)
            aws = AwsSession(REGION, connect_timeout_ms=patience_ms, read_timeout_ms=patience_ms)
            self._opened[which] = ConditionalArbiter(self.store(aws), limit_s=limit_s)
            await self._opened[which].warm_up()
        return self._opened[which]

    def _is_read(self, operation: str) -> bool:
        raise NotImplementedError

    def _sent(self) -> int:
        """How many writes were or will be applied or refused."""
        ways = ("none", "drop-after", "late")
        journal = self._server.control.journal()
        return sum(call.fault in ways and not self._is_read(call.operation) for call in journal)

    def _count(self, operation: str) -> None:
        self._done += not self._is_read(operation)


class DynamoDbBench(AwsBench):
    """A table."""

    read, write = "dynamodb:GetItem", "dynamodb:PutItem"
    parameters = DynamoDbParameters(table=TABLE)
    codes: ClassVar = {
        Trouble.THROTTLED: (400, "ProvisionedThroughputExceededException"),
        Trouble.BROKEN: (500, "InternalServerError"),
        Trouble.CONTENDED: (400, "ReplicatedWriteConflictException"),
        Trouble.DENIED: (400, "AccessDeniedException"),
        Trouble.GONE: (400, "ResourceNotFoundException"),
    }

    def make_place(self) -> None:
        self._client: DynamoDBClient = self._server.dynamodb()
        self._client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self._server.forget_calls()

    def store(self, aws: AwsSession) -> Store:
        return DynamoDbStore(self.parameters, CLUSTER, aws)

    def stored(self, name: str) -> bytes | None:
        item = self._client.get_item(TableName=TABLE, Key={"id": {"S": f"{CLUSTER}/{name}"}}).get("Item")
        return item["document"]["S"].encode() if item else None

    def put_by_hand(self, name: str, content: bytes | None) -> None:
        key = f"{CLUSTER}/{name}"
        if content is None:
            self._client.delete_item(TableName=TABLE, Key={"id": {"S": key}})
            return
        item = {"id": key, "version": digest(content), "document": content.decode()}
        self._client.put_item(TableName=TABLE, Item={name: {"S": value} for name, value in item.items()})

    def _is_read(self, operation: str) -> bool:
        return operation == self.read


class S3Bench(AwsBench):
    """A bucket."""

    read, write = f"s3:GET /{BUCKET}/*", f"s3:PUT /{BUCKET}/*"
    parameters = S3Parameters(bucket=BUCKET, region=REGION)
    codes: ClassVar = {
        Trouble.THROTTLED: (503, "SlowDown"),
        Trouble.BROKEN: (500, "InternalError"),
        Trouble.CONTENDED: (409, "ConditionalRequestConflict"),
        Trouble.DENIED: (403, "AccessDenied"),
        Trouble.GONE: (404, "NoSuchBucket"),
    }

    def make_place(self) -> None:
        self._client: S3Client = self._server.s3()
        self._client.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
        )
        self._server.forget_calls()

    def store(self, aws: AwsSession) -> Store:
        return S3Store(self.parameters, CLUSTER, aws)

    def stored(self, name: str) -> bytes | None:
        try:
            with closing(self._client.get_object(Bucket=BUCKET, Key=self._key(name))["Body"]) as body:
                return body.read()
        except self._client.exceptions.NoSuchKey:
            return None

    def put_by_hand(self, name: str, content: bytes | None) -> None:
        if content is None:
            self._client.delete_object(Bucket=BUCKET, Key=self._key(name))
        else:
            self._client.put_object(Bucket=BUCKET, Key=self._key(name), Body=content)

    def _is_read(self, operation: str) -> bool:
        return operation.startswith("s3:GET ")

    def _key(self, name: str) -> str:
        return f"kagemusha/{CLUSTER}/{name}.json"
