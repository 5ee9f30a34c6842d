"""An arbiter's documents as objects of an S3 bucket: kagemusha/garoon/app.json. The version is the ETag.

Source: the S3 user guide, "How to prevent object overwrites with conditional writes" (If-None-Match,
If-Match, and their answers 412, 409 and 404) and "Amazon S3 data consistency model".
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.arbiters.contract import Version
from agent.arbiters.store import Mismatch
from agent.aws import AwsError, AwsSession
from agent.aws.errors import UNAUTHORIZED_CODES
from agent.config.arbiter import S3Parameters
from recovery_kits.contract import Permission


class S3Store:
    """The `Store` of one cluster in one bucket."""

    def __init__(self, parameters: S3Parameters, cluster: str, aws: AwsSession) -> None:
        self._bucket, self._prefix = parameters.bucket, parameters.prefix
        self._cluster, self._aws = cluster, aws

    @staticmethod
    def permissions(parameters: S3Parameters, cluster: str, names: Iterable[str]) -> tuple[Permission, ...]:
        """Read and write the documents of these names; be told that one isn't there (else S3 refuses)."""
        bucket = f"arn:{{partition}}:s3:::{parameters.bucket}"
        return (
            Permission(
                why="Vote",
                actions=("s3:GetObject", "s3:PutObject"),
                resources=tuple(f"{bucket}/{_key(parameters.prefix, cluster, name)}" for name in names),
            ),
            Permission(why="MissVotes", actions=("s3:ListBucket",), resources=(bucket,)),
        )

    async def get(self, name: str) -> tuple[bytes, Version] | None:
        """Read it; S3 reads are consistent."""
        try:
            answer = await self._aws.call("s3", "get_object", Bucket=self._bucket, Key=self._key(name))
        except AwsError as error:
            if error.code == "NoSuchKey":
                return None
            raise
        return answer["Body"], Version(answer["ETag"])

    async def put(self, name: str, content: bytes, expected: Version | None) -> Version:
        """Write if the object has that ETag; raises Mismatch."""
        condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
        try:
            answer = await self._aws.call(
                "s3",
                "put_object",
                Bucket=self._bucket,
                Key=self._key(name),
                Body=content,
                ContentType="application/json",
                **condition,
            )
        except AwsError as error:
            if error.code in ("PreconditionFailed", "NoSuchKey"):  # NoSuchKey: nothing to match with
                raise Mismatch from error
            raise
        return Version(answer["ETag"])

    def place(self, name: str) -> str:
        """Where the document is, in words."""
        return f"s3://{self._bucket}/{self._key(name)}"

    def step(self, error: AwsError) -> str:
        """What an operator can do about an answer that refuses."""
        if error.code in UNAUTHORIZED_CODES:
            needed = f"{error.step} on {self._bucket}/{self._prefix}*"
            if error.operation == "GetObject":
                return f"{needed}, and s3:ListBucket on {self._bucket}: without it S3 hides what isn't there"
            return needed
        if error.code == "NoSuchBucket":
            return f"create the bucket {self._bucket}, or correct its name"
        return error.step or f"see whether the bucket {self._bucket} is in the region that is configured"

    async def load(self) -> None:
        """Load what the first request needs; raises AwsError."""
        await self._aws.load("s3")

    def close(self) -> None:
        """Let threads and connections go."""
        self._aws.close()

    def _key(self, name: str) -> str:
        return _key(self._prefix, self._cluster, name)


def _key(prefix: str, cluster: str, name: str) -> str:
    return f"{prefix}{cluster}/{name}.json"
