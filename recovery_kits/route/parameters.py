"""What the TOML says of a route."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from msgspec import Meta

from agent.config.errors import BadParameter
from recovery_kits.interface import InterfaceId
from recovery_kits.route.tables import PrefixListId, TableId

BY_VIP = "vip"
_TAG_TEXT = r"\w .:/@+-"  # what EC2's filters and IAM's conditions take as it stands; a value also "="
VpcId = Annotated[str, Meta(pattern=r"^vpc-[0-9a-f]{8,17}\Z", examples=["vpc-0123456789abcdef0"])]
RoleArn = Annotated[
    str,
    Meta(
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+\Z",
        examples=["arn:aws:iam::123456789012:role/kagemusha-routes"],
    ),
]


@dataclass(frozen=True, kw_only=True)
class RouteParameters:
    """[hierarchy.….resource.…] with kit = "route"."""

    destination: Annotated[
        IPv4Network | IPv6Network | PrefixListId,
        Meta(
            title="an IP network or a managed prefix list",
            description="What clients connect to, outside the VPC's range.",
            examples=["10.1.0.10/32", "fd00::10/128", "pl-0123456789abcdef0"],
        ),
    ]
    route_tables: Annotated[
        tuple[TableId, ...],
        Meta(description="Every route table whose subnets are to reach the destination."),
    ] = ()
    route_tables_by: Annotated[
        str | None,
        Meta(
            pattern=rf"^(vip|tag:[{_TAG_TEXT}]+=[={_TAG_TEXT}]*)\Z",
            examples=["vip", "tag:cluster=garoon"],
            description="In the place of `route_tables`, how to find them in the VPC, those added later "
            "too: by a route to the destination that they have already, or by a tag.",
        ),
    ] = None
    vpc: Annotated[
        VpcId | None,
        Meta(description="Where `route_tables_by` looks; left out: the VPC of the ENI."),
    ] = None
    role_arn: Annotated[
        RoleArn | None,
        Meta(description="The role to see and change the tables as, where they are another account's."),
    ] = None
    device: Annotated[str, Meta(description="The device whose ENI the routes lead to.", min_length=1)] = (
        "eth0"
    )
    interface: Annotated[
        InterfaceId | None, Meta(description="The ENI itself, in the place of the device's.")
    ] = None
    repair_source_dest_check: Annotated[
        bool,
        Meta(
            description="Turn the ENI's source/dest check off at each restore, for else AWS drops "
            "packets for the destination."
        ),
    ] = False

    def __post_init__(self) -> None:
        """Refuse what can't be meant: tables named twice, named and looked for, or neither."""
        for table in self.route_tables:
            if self.route_tables.count(table) > 1:
                raise BadParameter("route_tables", f"name {table} once")
        if self.route_tables and self.route_tables_by:
            raise BadParameter("route_tables_by", "name the tables or have them looked for, not both")
        if not self.route_tables and not self.route_tables_by:
            raise BadParameter("route_tables", 'name each table, or write route_tables_by = "vip" instead')
        if self.vpc and not self.route_tables_by:
            raise BadParameter("vpc", "goes with route_tables_by: tables that are named need no VPC")

    @property
    def tag(self) -> tuple[str, str] | None:
        """The key and the value of the tag that the tables have; None: they aren't looked for by tag."""
        if not self.route_tables_by or self.route_tables_by == BY_VIP:
            return None
        key, _, value = self.route_tables_by.removeprefix("tag:").partition("=")
        return key, value
