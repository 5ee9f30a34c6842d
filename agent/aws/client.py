"""botocore, held in one place: making a client, calling it, and putting its exceptions in our words.

A call is sent once. botocore makes one attempt (total_max_attempts), and lets urllib3 make one: a pooled
connection that the server has closed is opened anew before anything is sent, one that breaks later ends
the call.

Importing this costs 0.2 s and making an EC2 client 25 MB: agent.aws.session does both in a thread.
"""

from __future__ import annotations

import contextlib
import gzip
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials, create_assume_role_refresher
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    MetadataRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.loaders import JSONFileLoader, create_loader
from botocore.parsers import ResponseParserError
from botocore.response import StreamingBody
from botocore.session import Session

from agent.aws.errors import CREDENTIALS_STEP, AwsError, AwsFault, answered
from agent.aws.guard import Guard, GuardedBody
from recovery_kits.contract import Authority

LONGEST_BODY = 65_536  # bytes
ASSUME = "AssumeRole"
ROLE_LIFE_S = 3_600  # the longest that AWS grants to who has a role already, as an instance has


@dataclass(frozen=True)
class Role:
    """A role to call as, once AWS lets this node assume it."""

    arn: str
    session_name: str  # what CloudTrail shows beside it; 2 to 64 of A-Z a-z 0-9 _ + = , . @ -


class Client:
    """A service's blocking client; several threads may call it at once."""

    def __init__(
        self,
        service: str,
        region: str,
        *,
        connect_timeout_s: float,
        read_timeout_s: float,
        connections: int,
        role: Role | None = None,
    ) -> None:
        """Raises AwsError, also when the role can't be assumed."""
        config = Config(
            connect_timeout=connect_timeout_s,
            read_timeout=read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": 1},  # who calls knows whether it still may
            max_pool_connections=connections,
            tcp_keepalive=True,
        )
        session = _session()
        self._service, self._role = service, role.arn if role else None
        self._thread = threading.local()  # .guard: of the call that the thread is making
        self._sts: Any = None
        with _in_our_words(service, "make a client", self._role):
            if role is not None:
                self._sts = session.create_client("sts", region, config=config)
                session, assumed = _session(), _Assumed(self._sts, role)
                session.register_component("credential_provider", assumed)
                assumed.credentials.get_frozen_credentials()
            self._client = session.create_client(service, region, config=config)
        self._client.meta.events.register("before-send", self._before_send)

    @property
    def endpoint(self) -> str:
        """Where the calls go, e.g. https://ec2.ap-northeast-1.amazonaws.com."""
        return str(self._client.meta.endpoint_url)

    def call(
        self, method: str, parameters: dict[str, Any], authority: Authority | None = None
    ) -> dict[str, Any]:
        """Call e.g. "replace_route"; raises AwsError. Blocks for connect and read time-out at most, mostly:
        slow DNS and a reply that trickles in are bounded by nothing here.

        Where AWS streams a "Body", its first LONGEST_BODY bytes are read, and the rest is left.
        With `authority` it isn't sent unless that lasts still: the error's kind is NO_AUTHORITY then.
        """
        operation = self._client.meta.method_to_api_mapping[method]
        self._thread.guard = Guard(operation, authority) if authority else None
        with _in_our_words(self._service, operation, self._role):
            answer: dict[str, Any] = getattr(self._client, method)(**parameters)
            if isinstance(body := answer.get("Body"), StreamingBody):
                with contextlib.closing(body):
                    answer["Body"] = body.read(LONGEST_BODY)
            return answer

    def close(self) -> None:
        """Drop the pooled connections."""
        self._client.close()
        if self._sts is not None:
            self._sts.close()

    def _before_send(self, request: AWSPreparedRequest, **_: object) -> None:
        """Called by botocore in the thread of the call, when the request is signed and goes out next."""
        guard: Guard | None = self._thread.guard
        if guard is not None:
            guard()
            sent = request.body.encode() if isinstance(request.body, str) else request.body
            assert isinstance(sent, bytes | bytearray), "what changes something has parameters"
            body = GuardedBody(bytes(sent), guard)
            request.body = body  # type: ignore[assignment]  # urllib3 takes whatever can be iterated over


class _Assumed:
    """Where a session takes a role's credentials from, anew before they end."""

    def __init__(self, sts: Any, role: Role) -> None:
        wish = {"RoleArn": role.arn, "RoleSessionName": role.session_name, "DurationSeconds": ROLE_LIFE_S}
        assume = create_assume_role_refresher(sts, wish)
        self.credentials = DeferredRefreshableCredentials(assume, "assume-role")

    def load_credentials(self) -> DeferredRefreshableCredentials:
        """Called by botocore once."""
        return self.credentials


def _session() -> Session:
    session = Session()
    session.set_config_variable("ec2_metadata_v1_disabled", True)
    loader = create_loader(session.get_config_variable("data_path"))
    loader.file_loader = ModelFiles()
    session.register_component("data_loader", loader)
    return session


class ModelFiles(JSONFileLoader):
    """Reads botocore's models in a quarter of the time, and keeps them in less memory.

    EC2's has 4 MB, and while such a file is decoded no other thread runs: not even the heartbeats'.
    """

    def load_file(self, file_path: str) -> Any:
        """The decoded file, whose ending isn't given; None if there is none."""
        for ending, unpack in ((".json", bytes), (".json.gz", gzip.decompress)):
            path = Path(file_path + ending)
            if path.is_file():
                return msgspec.json.decode(unpack(path.read_bytes()))
        return None


@contextlib.contextmanager
def _in_our_words(service: str, operation: str, role: str | None) -> Any:
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if error.operation_name == ASSUME:  # on the way to the call
            service, operation = "sts", ASSUME
        code, text = told.get("Code", "?"), told.get("Message", "")
        raise answered(service, operation, code, text, status, role) from error
    except HTTPClientError as error:
        refusal = error.kwargs.get("error")
        if isinstance(refusal, AwsError):  # the guard's, which botocore took for a broken connection
            raise refusal from None
        code, text = type(error).__name__, str(error)
        raise AwsError(AwsFault.NETWORK, operation, code, text, role=role) from error
    except (BotoCoreError, ResponseParserError) as error:
        kind, step = _own_failure(error)
        raise AwsError(kind, operation, type(error).__name__, str(error), step, role) from error


def _own_failure(error: Exception) -> tuple[AwsFault, str]:
    """The kind of an error that botocore raised itself, without an answer that it could read."""
    match error:
        case MetadataRetrievalError() | CredentialRetrievalError():
            return AwsFault.NETWORK, "check that this instance has IMDSv2 enabled"
        case NoCredentialsError() | PartialCredentialsError():
            return AwsFault.AUTH, CREDENTIALS_STEP
        case ParamValidationError():
            return AwsFault.REFUSED, ""
        case ResponseParserError():  # EC2's 500 without a body that it could read
            return AwsFault.SERVER, ""
    return AwsFault.NETWORK, ""  # could not connect, was cut off, timed out: AWS has told nothing
