"""[arbiter]: the outside vote. Which table, or which bucket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.reader import Table, parameters_of, read_known, refuse_unknown, subtable
from agent.config.tables import Region
from agent.config.values import Problems

ArbiterKind = Literal["dynamodb", "s3"]


@dataclass(frozen=True, kw_only=True)
class ArbiterTable:
    """[arbiter] without its kind's own parameters"""

    kind: Annotated[ArbiterKind, Meta(description="Where the vote is kept; see docs/arbiters.md.")]


@dataclass(frozen=True, kw_only=True)
class DynamoDbParameters:
    """Where a DynamoDB arbiter keeps its records."""

    table: Annotated[
        str,
        Meta(
            description="The table; its partition key is `id`, a string, and it has no sort key. One "
            "table serves any number of clusters of different names.",
            title="a DynamoDB table's name (3 to 255 letters, digits, _ . -)",
            pattern=r"^[A-Za-z0-9_.-]{3,255}\Z",
            examples=["kagemusha"],
        ),
    ]
    region: Annotated[
        Region | None, Meta(description="The table's region, the same for all nodes; else that of [aws].")
    ] = None


@dataclass(frozen=True, kw_only=True)
class S3Parameters:
    """Where an S3 arbiter keeps its records."""

    bucket: Annotated[
        str,
        Meta(
            description="The bucket; one serves any number of clusters of different names.",
            title="a bucket's name (3 to 63 small letters, digits, . -)",
            pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z",
            examples=["example-kagemusha"],
        ),
    ]
    prefix: Annotated[
        str,
        Meta(
            description="What the objects' names begin with; the same on all nodes.",
            title="a prefix of at most 200 letters, digits, / _ . - that doesn't begin with /",
            pattern=r"^([A-Za-z0-9_.-][A-Za-z0-9/_.-]{0,199})?\Z",
            examples=["kagemusha/"],
        ),
    ] = "kagemusha/"
    region: Annotated[Region | None, Meta(description="The bucket's region; else that of [aws].")] = None


ArbiterParameters = DynamoDbParameters | S3Parameters
KINDS: Mapping[ArbiterKind, type[ArbiterParameters]] = {"dynamodb": DynamoDbParameters, "s3": S3Parameters}


def read_arbiter(document: Table, problems: Problems) -> ArbiterParameters | None:
    """[arbiter]; None when there is none, and when anything in it was refused."""
    table = subtable(document, "arbiter", (), problems)
    if "arbiter" not in document or table is None:
        return None
    settings = read_known(ArbiterTable, table, lambda key: ("arbiter", key), problems)
    if settings is None:
        return None
    cls: type[ArbiterParameters] = KINDS[settings.kind]
    refuse_unknown(table, [*parameters_of(ArbiterTable), *parameters_of(cls)], ("arbiter",), problems)
    return read_known(cls, table, lambda key: ("arbiter", key), problems)
