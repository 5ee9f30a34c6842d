"""From parameters to an arbiter that works, and to what AWS must allow for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.arbiters.conditional import PROBE, WRITE_SHARE, ConditionalArbiter
from agent.arbiters.dynamodb import DynamoDbStore
from agent.arbiters.s3 import S3Store
from agent.aws import AwsSession
from agent.config.arbiter import ArbiterParameters, DynamoDbParameters, S3Parameters
from recovery_kits.contract import Permission

LEAST_LIMIT_S, MOST_LIMIT_S = 0.2, 5.0  # of a call, whatever dead_after is


def limit_s(dead_after_ms: int) -> float:
    """A call's time limit: a third of dead_after, so that an owner has another try before its grant ends."""
    return min(max(dead_after_ms / 3_000, LEAST_LIMIT_S), MOST_LIMIT_S)


def open_arbiter(
    parameters: ArbiterParameters,
    cluster: str,
    *,
    region: str | None,
    dead_after_ms: int,
    precede: Callable[[], None] | None = None,
) -> ConditionalArbiter:
    """The arbiter of the cluster of that name; `region` is used where the parameters name none.

    Call it in the event loop's thread, and `close` what it returns. Its AWS session is its own: a vote
    doesn't wait for a kit's calls, nor they for it. `precede`: see AwsSession.
    """
    whole_s = limit_s(dead_after_ms)
    write_ms = round(whole_s * WRITE_SHARE * 1_000)  # a thread ends about when its caller gives up
    aws = AwsSession(
        parameters.region or region,
        connect_timeout_ms=write_ms // 2,
        read_timeout_ms=write_ms,
        precede=precede,
    )
    match parameters:
        case DynamoDbParameters():
            return ConditionalArbiter(DynamoDbStore(parameters, cluster, aws), limit_s=whole_s)
        case S3Parameters():
            return ConditionalArbiter(S3Store(parameters, cluster, aws), limit_s=whole_s)


def arbiter_permissions(
    parameters: ArbiterParameters, cluster: str, hierarchies: Iterable[str]
) -> tuple[Permission, ...]:
    """What AWS must allow every node: to vote on these hierarchies, and to try it (`kage check`)."""
    match parameters:
        case DynamoDbParameters():
            return DynamoDbStore.permissions(parameters, cluster)
        case S3Parameters():
            return S3Store.permissions(parameters, cluster, (*hierarchies, PROBE))
