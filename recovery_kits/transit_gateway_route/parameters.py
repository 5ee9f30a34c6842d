"""What the TOML says of transit gateway routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from msgspec import Meta

from agent.config.errors import BadParameter

TableId = Annotated[str, Meta(pattern=r"^tgw-rtb-[0-9a-f]{8,17}\Z", examples=["tgw-rtb-0123456789abcdef0"])]
AttachmentId = Annotated[
    str, Meta(pattern=r"^tgw-attach-[0-9a-f]{8,17}\Z", examples=["tgw-attach-0123456789abcdef0"])
]
RoleArn = Annotated[
    str,
    Meta(
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+\Z",
        examples=["arn:aws:iam::123456789012:role/kagemusha-routes"],
    ),
]


@dataclass(frozen=True, kw_only=True)
class TransitGatewayRouteParameters:
    """[hierarchy.….resource.…] with kit = "transit-gateway-route"."""

    destination: Annotated[
        IPv4Network | IPv6Network,
        Meta(description="What clients beyond the transit gateway connect to.", examples=["10.1.0.10/32"]),
    ]
    route_tables: Annotated[
        tuple[TableId, ...],
        Meta(description="Every transit gateway route table that is to lead there.", min_length=1),
    ]
    attachments: Annotated[
        tuple[AttachmentId, ...],
        Meta(
            description="The attachment of this node's VPC: one for all tables, or one for each in their "
            "order where they are several transit gateways'.",
            min_length=1,
        ),
    ]
    role_arn: Annotated[
        RoleArn | None,
        Meta(description="The role to call as, where the transit gateway is another account's."),
    ] = None

    def __post_init__(self) -> None:
        """Refuse a table named twice, and attachments that don't match the tables."""
        for table in self.route_tables:
            if self.route_tables.count(table) > 1:
                raise BadParameter("route_tables", f"name {table} once")
        if len(self.attachments) not in (1, len(self.route_tables)):
            raise BadParameter(
                "attachments", f"name one, or {len(self.route_tables)}: one for each of route_tables"
            )

    @property
    def attachment_of(self) -> Mapping[str, str]:
        """Where each table's route leads while this node owns it."""
        attachments = self.attachments
        if len(attachments) == 1:
            attachments *= len(self.route_tables)
        return dict(zip(self.route_tables, attachments, strict=True))
