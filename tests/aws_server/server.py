"""The test server as one object: start, use, close."""

from __future__ import annotations

import json
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import boto3
from botocore.config import Config

from tests.aws_server.app import AwsApp
from tests.aws_server.control import Control
from tests.aws_server.http import Listener
from tests.aws_server.metadata import MetadataServer, Profile
from tests.aws_server.world import REGION

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client
    from mypy_boto3_s3 import S3Client

WARM_UP = {"ec2": "describe_route_tables", "dynamodb": "list_tables", "s3": "list_buckets"}


class AwsServer:
    """AWS on a loopback port, and one IMDS for each node that is asked for.

    moto keeps its state in the process: two of these in one process share it.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, warm: tuple[str, ...] = ("ec2",)) -> None:
        self._metadata: list[MetadataServer] = []
        self._app = AwsApp({"/_test/imds": self._set_metadata})
        self._listener = Listener(host, port, self._app)
        self.url, self.port = self._listener.url, self._listener.port
        self.control = Control(self.url)
        self._session = boto3.Session(region_name=REGION)  # one: it parses EC2's model once
        for service in warm:  # moto loads a service at its first call, which takes up to 1 s
            client = self._client(service)
            getattr(client, WARM_UP[service])()
            client.close()
        self.forget_calls()

    def ec2(self, key: str = "AKIATEST") -> EC2Client:
        """A client for setting the scene; close it."""
        return cast("EC2Client", self._client("ec2", key))

    def dynamodb(self, key: str = "AKIATEST") -> DynamoDBClient:
        """A client for setting the scene; close it."""
        return cast("DynamoDBClient", self._client("dynamodb", key))

    def s3(self, key: str = "AKIATEST") -> S3Client:
        """A client for setting the scene; close it."""
        return cast("S3Client", self._client("s3", key))

    def elbv2(self, key: str = "AKIATEST") -> ElasticLoadBalancingv2Client:
        """A client for setting the scene; close it."""
        return cast("ElasticLoadBalancingv2Client", self._client("elbv2", key))

    def add_metadata(self, profile: Profile, host: str = "127.0.0.1", port: int = 0) -> MetadataServer:
        """An IMDS of its own for one node; ends with the server."""
        server = MetadataServer(profile, host, port)
        self._metadata.append(server)
        return server

    def forget_calls(self) -> None:
        """Empty the journal and drop all rules; AWS's resources stay."""
        self._app.faults.forget()

    def close(self) -> None:
        """End every thread; calls that hang are broken off."""
        self._app.stopping.set()
        self._app.release_late()
        for each in (*self._metadata, self._listener):
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _client(self, service: str, key: str = "AKIATEST") -> Any:
        return self._session.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.url,
            aws_access_key_id=key,
            aws_secret_access_key="secret",
            config=Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1}),
        )

    def _set_metadata(self, body: bytes) -> object:
        wish = json.loads(body)
        chosen = [each for each in self._metadata if each.profile.instance_id == wish["instance_id"]]
        if not chosen:
            raise LookupError(f"no IMDS serves {wish['instance_id']}")
        for each in chosen:
            each.down = bool(wish["down"])
        return {}
