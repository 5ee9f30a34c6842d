"""botocore's exceptions in our words: kinds of failure, with what an operator can do about them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

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
from botocore.parsers import ResponseParserError

from agent.aws.errors import CREDENTIALS_STEP, AwsError, AwsFault, answered


@contextlib.contextmanager
def in_our_words(service: str, operation: str, role: str | None = None) -> Iterator[None]:
    """Raise AwsError for whatever botocore raises; `role`: the ARN of the role called as."""
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
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
