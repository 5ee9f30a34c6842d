"""What an operator says of an arbiter: which table, or which bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

_REGION = Meta(title="a region", pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}\Z", examples=["ap-northeast-1"])


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
        str | None,
        _REGION,
        Meta(description="The table's region, the same for all nodes; else that of [aws]."),
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
    region: Annotated[
        str | None,
        _REGION,
        Meta(description="The bucket's region; else that of [aws]."),
    ] = None
