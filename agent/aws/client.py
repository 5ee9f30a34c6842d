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
from pathlib import Path
from typing import Any

import msgspec
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
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


class Client:
    """A service's blocking client; several threads may call it at once."""

    def __init__(
        self, service: str, region: str, *, connect_timeout_s: float, read_timeout_s: float, connections: int
    ) -> None:
        config = Config(
            connect_timeout=connect_timeout_s,
            read_timeout=read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": 1},  # who calls knows whether it still may
            max_pool_connections=connections,
            tcp_keepalive=True,
        )
        session = Session()
        session.set_config_variable("ec2_metadata_v1_disabled", True)
        loader = create_loader(session.get_config_variable("data_path"))
        loader.file_loader = ModelFiles()
        session.register_component("data_loader", loader)
        self._service = service
        self._thread = threading.local()  # .guard: of the call that the thread is making
        with _in_our_words(service, "make a client"):
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
        with _in_our_words(self._service, operation):
            answer: dict[str, Any] = getattr(self._client, method)(**parameters)
            if isinstance(body := answer.get("Body"), StreamingBody):
                with contextlib.closing(body):
                    answer["Body"] = body.read(LONGEST_BODY)
            return answer

    def close(self) -> None:
        """Drop the pooled connections."""
        self._client.close()

    def _before_send(self, request: AWSPreparedRequest, **_: object) -> None:
        """Called by botocore in the thread of the call, when the request is signed and goes out next."""
        guard: Guard | None = self._thread.guard
        if guard is not None:
            guard()
            sent = request.body.encode() if isinstance(request.body, str) else request.body
            assert isinstance(sent, bytes | bytearray), "what changes something has parameters"
            body = GuardedBody(bytes(sent), guard)
            request.body = body  # type: ignore[assignment]  # urllib3 takes whatever can be iterated over


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
def _in_our_words(service: str, operation: str) -> Any:
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise answered(service, operation, told.get("Code", "?"), told.get("Message", ""), status) from error
    except HTTPClientError as error:
        refusal = error.kwargs.get("error")
        if isinstance(refusal, AwsError):  # the guard's, which botocore took for a broken connection
            raise refusal from None
        raise AwsError(AwsFault.NETWORK, operation, type(error).__name__, str(error)) from error
    except (BotoCoreError, ResponseParserError) as error:
        kind, step = _own_failure(error)
        raise AwsError(kind, operation, type(error).__name__, str(error), step) from error


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
