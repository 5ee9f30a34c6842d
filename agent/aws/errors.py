"""What can go wrong with AWS, told apart by what it means for a cluster and for its operator.

Free of botocore, so that kits and tests can import it at no cost.
"""

from __future__ import annotations

from enum import Enum


class AwsFault(Enum):
    """The kinds of failure."""

    AUTH = "not permitted"  # answered: missing permission, expired or missing credentials
    THROTTLED = "throttled"  # refused for now: too many requests
    NOT_FOUND = "not found"  # answered: there is no such thing
    NETWORK = "no answer"  # nobody answered in time; a change may or may not have been applied
    REFUSED = "refused"  # answered: the request is wrong
    SERVER = "server error"  # AWS failed; a change may or may not have been applied
    NO_AUTHORITY = "not sent"  # this node may not act any more: another may have changed the thing by now


UNANSWERED = frozenset({AwsFault.THROTTLED, AwsFault.NETWORK, AwsFault.SERVER, AwsFault.NO_AUTHORITY})
UNAUTHORIZED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
CREDENTIAL_CODES = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
THROTTLE_CODES = frozenset(
    {
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
SERVER_CODES = frozenset(
    {
        "ConditionalRequestConflict",  # S3: another write of the same object was under way
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "OperationAborted",
        "ReplicatedWriteConflictException",
        "RequestTimeout",
        "ServiceUnavailable",
        "Unavailable",
    }
)
NOT_FOUND_CODES = frozenset({"NoSuchBucket", "NoSuchHostedZone", "NoSuchKey", "ResourceNotFoundException"})
OWN_ROLE = "the node's role"
IAM_NAMES = {"elbv2": "elasticloadbalancing"}  # where IAM calls a service otherwise than botocore
CREDENTIALS_STEP = "check that the instance has an instance profile and that its clock is right"


class AwsError(Exception):
    """One call failed. Reads `ReplaceRoute: UnauthorizedOperation: … (give the node's role …)`."""

    def __init__(
        self, kind: AwsFault, operation: str, code: str, text: str, step: str = "", role: str | None = None
    ) -> None:
        call = f"{operation} as {role}" if role else operation
        super().__init__(f"{call}: {code}: {text.strip()}" + (f" ({step})" if step else ""))
        self.kind, self.operation, self.code, self.text = kind, operation, code, text.strip()
        self.step = step  # what the operator can do about it
        self.role = role  # whose ARN it was called with; None: the node's own

    @property
    def unanswered(self) -> bool:
        """Nobody can tell from this whether the thing is so, or whether the change was made."""
        return self.kind in UNANSWERED

    @property
    def passing(self) -> bool:
        """The same call may be answered in a moment."""
        return self.unanswered and self.kind is not AwsFault.NO_AUTHORITY


def answered(
    service: str, operation: str, code: str, text: str, status: int, role: str | None = None
) -> AwsError:
    """The error that AWS answered with: its code, its message, the HTTP status."""
    kind, step = _meaning(service, operation, code, status, role)
    return AwsError(kind, operation, code, text, step, role)


def _meaning(service: str, operation: str, code: str, status: int, role: str | None) -> tuple[AwsFault, str]:
    if code in THROTTLE_CODES:
        return AwsFault.THROTTLED, ""
    if code in UNAUTHORIZED_CODES:
        return AwsFault.AUTH, _grant(service, operation, role)
    if code in CREDENTIAL_CODES:
        return AwsFault.AUTH, CREDENTIALS_STEP
    if code in SERVER_CODES or status >= 500:
        return AwsFault.SERVER, ""
    if code in NOT_FOUND_CODES or code.endswith("NotFound"):
        return AwsFault.NOT_FOUND, ""
    return AwsFault.REFUSED, ""


def _grant(service: str, operation: str, role: str | None) -> str:
    if operation == "AssumeRole":
        return "give the node's role sts:AssumeRole on that role, and let that role trust the node's"
    return f"give {role or OWN_ROLE} {IAM_NAMES.get(service, service)}:{operation}"
