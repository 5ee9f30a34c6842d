"""From parameters to an arbiter that works, and to what AWS must allow for it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext

from agent.arbiters.conditional import LIMIT_S, PROBE, WRITE_SHARE, ConditionalArbiter
from agent.arbiters.dynamodb import DynamoDbStore
from agent.arbiters.s3 import S3Store
from agent.aws import AwsSession
from agent.aws.session import Precedence
from agent.config.arbiter import ArbiterParameters, DynamoDbParameters, S3Parameters
from recovery_kits.contract import Permission


def open_arbiter(
    parameters: ArbiterParameters,
    cluster: str,
    *,
    region: str | None,
    limit_s: float = LIMIT_S,
    precedence: Precedence = nullcontext,
) -> ConditionalArbiter:
    """The arbiter of the cluster of that name; `region` is used where the parameters name none.

    Call it in the event loop's thread, and `close` what it returns. Its AWS session is its own: a vote
    doesn't wait for a kit's calls, nor they for it. Its calls are made within `precedence`.
    """
    write_ms = round(limit_s * WRITE_SHARE * 1_000)  # a thread ends about when its caller gives up
    aws = AwsSession(
        parameters.region or region,
        connect_timeout_ms=write_ms // 2,
        read_timeout_ms=write_ms,
        precedence=precedence,
    )
    match parameters:
        case DynamoDbParameters():
            return ConditionalArbiter(DynamoDbStore(parameters, cluster, aws), limit_s=limit_s)
        case S3Parameters():
            return ConditionalArbiter(S3Store(parameters, cluster, aws), limit_s=limit_s)


def arbiter_permissions(
    parameters: ArbiterParameters, cluster: str, hierarchies: Iterable[str]
) -> tuple[Permission, ...]:
    """What AWS must allow every node: to vote on these hierarchies, and to try it (`kage check`)."""
    match parameters:
        case DynamoDbParameters():
            return DynamoDbStore.permissions(parameters, cluster)
        case S3Parameters():
            return S3Store.permissions(parameters, cluster, (*hierarchies, PROBE))
