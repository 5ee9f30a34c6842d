"""botocore, held in one place: making a client and calling it.

A call is sent once. botocore makes one attempt (total_max_attempts), and lets urllib3 make one: a pooled
connection that the server has closed is opened anew before anything is sent, one that breaks later ends
the call.

Importing this costs 0.2 s and making an EC2 client 25 MB: agent.aws.session does both in a thread.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from botocore.awsrequest import AWSPreparedRequest
from botocore.response import StreamingBody

from agent.aws.credentials import Kept
from agent.aws.guard import Guard, GuardedBody
from agent.aws.setup import Limits, new_session
from agent.aws.words import in_our_words
from recovery_kits.contract import Authority

LONGEST_BODY = 65_536  # bytes


class Client:
    """A service's blocking client; several threads may call it at once."""

    def __init__(self, service: str, region: str, credentials: Kept, limits: Limits) -> None:
        """Raises AwsError, also when there are no credentials."""
        self._service, self._role = service, credentials.role
        self._thread = threading.local()  # .guard: of the call that the thread is making
        credentials.get_frozen_credentials()
        with in_our_words(service, "make a client", self._role):
            session = new_session()
            session.register_component("credential_provider", credentials)
            self._client = session.create_client(service, region, config=limits.config())
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
        with in_our_words(self._service, operation, self._role):
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
