"""What a route needs AWS to permit."""

from __future__ import annotations

from recovery_kits.contract import Permission
from recovery_kits.route.parameters import RouteParameters
from recovery_kits.route.tables import PrefixListId

_EC2 = "arn:{partition}:ec2:{region}:{account}:"


def permissions(parameters: RouteParameters) -> tuple[Permission, ...]:
    """What the node's role needs; with `role_arn` the tables are that role's affair, and assuming it ours."""
    needs = [Permission(why="SeeInterfaces", actions=("ec2:DescribeNetworkInterfaces",))]
    if parameters.role_arn:
        needs.append(
            Permission(why="AssumeRole", actions=("sts:AssumeRole",), resources=(parameters.role_arn,))
        )
    else:
        needs += table_permissions(parameters)
    if parameters.repair_source_dest_check:
        needs.append(
            Permission(
                why="PassPackets",
                actions=("ec2:ModifyNetworkInterfaceAttribute",),
                resources=(f"{_EC2}network-interface/{parameters.interface or '*'}",),
            )
        )
    return tuple(needs)


def table_permissions(parameters: RouteParameters) -> tuple[Permission, ...]:
    """What whoever changes the tables needs: these tables, or those with the tag, or those of the VPC."""
    tables, conditions = parameters.route_tables or ("*",), dict[str, dict[str, str]]()
    if tag := parameters.tag:
        conditions["StringEquals"] = {f"ec2:ResourceTag/{tag[0]}": tag[1]}
    if parameters.vpc:
        conditions["ArnLike"] = {"ec2:Vpc": f"arn:*:ec2:*:*:vpc/{parameters.vpc}"}
    sees = ["ec2:DescribeRouteTables"]
    if isinstance(parameters.destination, PrefixListId):
        sees.append("ec2:DescribeManagedPrefixLists")
    return (
        Permission(
            why="MoveRoutes",
            actions=("ec2:CreateRoute", "ec2:ReplaceRoute"),
            resources=tuple(f"{_EC2}route-table/{table}" for table in tables),
            conditions=conditions,
        ),
        Permission(why="SeeRoutes", actions=tuple(sees)),
    )
