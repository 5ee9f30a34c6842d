"""Transit gateway routes that lead a destination to the VPC of the node that runs the hierarchy.

Its invariants:
- all tables are changed in parallel, and one that fails doesn't hide behind another that worked;
- a change that nobody answered is settled by reading back, not by its error;
- every change goes out by this node's authority: without it nothing is sent;
- EC2 has no compare-and-set, so a former owner's change may land after this node's: `reassert` (which is
  `restore`) doesn't look first but writes again, then reads back;
- `remove` calls nothing: the route belongs to whoever takes it next, and AWS may be out of reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from agent.aws import AwsError, AwsFault
from recovery_kits import verdicts
from recovery_kits.contract import Check, Finding, Kit, KitError, Permission, Unanswered
from recovery_kits.settling import settle
from recovery_kits.transit_gateway_route.advice import findings
from recovery_kits.transit_gateway_route.parameters import TransitGatewayRouteParameters
from recovery_kits.transit_gateway_route.routes import Route, read_route, search, why_not

SETTLE_S = (0.0, 0.5, 1.0, 2.0)  # waits before each reading back: a route is "pending" at first


class TransitGatewayRouteKit(Kit[TransitGatewayRouteParameters]):
    """Static routes to one destination, e.g. 10.1.0.10/32, in any number of tables."""

    kind = "transit-gateway-route"
    aws_services = ("ec2",)
    reasserts = True
    summary = "transit gateway routes that lead a destination to this node's VPC"
    Parameters: ClassVar[type[Any]] = TransitGatewayRouteParameters
    default_check_interval_ms = 30_000

    @classmethod
    def permissions(cls, parameters: TransitGatewayRouteParameters) -> Sequence[Permission]:
        """See and change these tables' routes, or assume the role that may; see where this node is."""
        arn = "arn:{partition}:ec2:{region}:{account}:transit-gateway-"
        tables = tuple(f"{arn}route-table/{each}" for each in parameters.route_tables)
        here = ("ec2:DescribeInstances", "ec2:DescribeSubnets")
        if parameters.role_arn:
            return (
                Permission(why="SeeThisNode", actions=here),
                Permission(why="AssumeRole", actions=("sts:AssumeRole",), resources=(parameters.role_arn,)),
            )
        attachments = dict.fromkeys(f"{arn}attachment/{each}" for each in parameters.attachments)
        gateway = ("ec2:DescribeTransitGatewayRouteTables", "ec2:DescribeTransitGatewayVpcAttachments")
        return (
            Permission(
                why="MoveTransitRoutes",
                actions=("ec2:CreateTransitGatewayRoute", "ec2:ReplaceTransitGatewayRoute"),
                resources=(*tables, *attachments),
            ),
            Permission(why="SeeTransitRoutes", actions=("ec2:SearchTransitGatewayRoutes",), resources=tables),
            Permission(why="SeeTransitGateway", actions=(*here, *gateway)),
        )

    async def restore(self) -> None:
        """Create or replace the route in every table, and read back that all lead to this node's VPC.

        Raises KitError naming each table that doesn't, and why; Unanswered where nobody could tell, and
        where this node may not act any more.
        """
        tables = self.parameters.route_tables
        outcomes = await asyncio.gather(*map(self._lead, tables), return_exceptions=True)
        failures: dict[str, KitError] = {}
        for table, outcome in zip(tables, outcomes, strict=True):
            if isinstance(outcome, KitError):
                failures[table] = outcome
            elif outcome is not None:
                raise outcome
        if failures:
            unsure = all(isinstance(each, Unanswered) for each in failures.values())
            reason = "; ".join(f"{table}: {each.reason}" for table, each in failures.items())
            raise (self.unanswered if unsure else self.error)("restore", reason)

    async def remove(self) -> None:
        """Nothing: the route is left to the next owner."""

    async def quick_check(self) -> Check:
        """One SearchTransitGatewayRoutes for each table; UNKNOWN where nobody answers, or it is pending."""
        checks = await asyncio.gather(*(self._check(table) for table in self.parameters.route_tables))
        for worst in (Check.failed, Check.unknown):
            why = [each.why for each in checks if each == worst(each.why)]
            if why:
                return worst("; ".join(why))
        return Check.ok()

    async def validate(self) -> list[Finding]:
        """Whether tables and attachments exist and belong together, and lead to where this node is."""
        try:
            found = await findings(self.tools.aws, self.parameters)
            if not found:
                await asyncio.gather(*(self._look(table) for table in self.parameters.route_tables))
        except AwsError as error:
            return [verdicts.finding(error)]
        return found

    async def _lead(self, table: str) -> None:
        """Lead one table's route here; raises KitError."""
        attachment, route = self.parameters.attachment_of[table], None

        async def wrong() -> str | None:
            nonlocal route
            route = await self._look(table)
            why = why_not(route, attachment)
            if why and route == Route((attachment,), "blackhole"):
                raise self.error("restore", why)  # it leads here already, and waiting doesn't mend it
            return why

        try:
            await settle(self, "restore", lambda: self._point(table), wrong, SETTLE_S)
        except KitError as error:
            if route == Route((attachment,), "pending"):  # refused because AWS is at an earlier try still
                raise self.unanswered("restore", f"is pending; {error.reason}") from error
            raise

    async def _point(self, table: str) -> None:
        """Replace the table's route, or create it where there is none yet; raises AwsError."""
        try:
            await self._change("replace_transit_gateway_route", table)
        except AwsError as error:
            if error.kind not in (AwsFault.NOT_FOUND, AwsFault.REFUSED):
                raise  # else perhaps for want of a route: AWS doesn't document how it says so
        else:
            return
        try:
            await self._change("create_transit_gateway_route", table)
        except AwsError as error:
            if error.code != "RouteAlreadyExists":  # made by another meanwhile, or by our lost try
                raise
            await self._change("replace_transit_gateway_route", table)

    async def _change(self, operation: str, table: str) -> None:
        await self.tools.aws.ec2(
            operation,
            authority=self.tools.authority,
            role=self.parameters.role_arn,
            TransitGatewayRouteTableId=table,
            DestinationCidrBlock=str(self.parameters.destination),
            TransitGatewayAttachmentId=self.parameters.attachment_of[table],
        )

    async def _check(self, table: str) -> Check:
        try:
            route = await self._look(table)
        except AwsError as error:
            certain = error.kind is AwsFault.NOT_FOUND
            return (Check.failed if certain else Check.unknown)(f"{table}: {error}")
        why = why_not(route, self.parameters.attachment_of[table])
        if why is None:
            return Check.ok()
        settling = route is not None and route.state == "pending"
        return (Check.unknown if settling else Check.failed)(f"{table} {why}")

    async def _look(self, table: str) -> Route | None:
        """The table's route; raises AwsError."""
        query = search(table, self.parameters.destination)
        role = self.parameters.role_arn
        return read_route(await self.tools.aws.ec2("search_transit_gateway_routes", role=role, **query))
