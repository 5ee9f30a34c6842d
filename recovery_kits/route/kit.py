"""VPC routes that lead a virtual IP to this node's ENI.

Its invariants:
- all tables are changed in parallel, and one that fails doesn't hide behind another that worked;
- a change that nobody answered is settled by reading back, not by its error;
- every change passes `_change` and goes out by this node's authority: without it nothing is sent;
- EC2 has no compare-and-set, so a former owner's change may land after this node's: `reassert` doesn't
  look first (a reading may be older than that change) but writes again, then reads back;
- `remove` calls nothing: the route belongs to whoever takes it next, and AWS may be out of reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from agent.aws import AwsError, AwsFault
from agent.config.errors import BadParameter
from recovery_kits.contract import Check, Finding, Kit, Permission
from recovery_kits.patience import patiently
from recovery_kits.route.advice import interface_findings, missing_table
from recovery_kits.route.tables import Table, destination_parameter, read_tables

SETTLE_S = (0.0, 0.3, 0.6)  # waits before each reading back: EC2 may show a change late
TableId = Annotated[str, Meta(pattern=r"^rtb-[0-9a-f]{8,17}\Z", examples=["rtb-0123456789abcdef0"])]
InterfaceId = Annotated[str, Meta(pattern=r"^eni-[0-9a-f]{8,17}\Z", examples=["eni-0123456789abcdef0"])]


@dataclass(frozen=True, kw_only=True)
class RouteParameters:
    """[hierarchy.….resource.…] with kit = "route"."""

    destination: Annotated[
        IPv4Network | IPv6Network,
        Meta(description="What clients connect to, outside the VPC's range.", examples=["10.1.0.10/32"]),
    ]
    route_tables: Annotated[
        tuple[TableId, ...],
        Meta(description="Every route table whose subnets are to reach the destination.", min_length=1),
    ]
    device: Annotated[str, Meta(description="The device whose ENI the routes lead to.", min_length=1)] = (
        "eth0"
    )
    interface: Annotated[
        InterfaceId | None, Meta(description="The ENI itself, in the place of the device's.")
    ] = None

    def __post_init__(self) -> None:
        """Refuse a table named twice: it would be changed twice at once."""
        for table in self.route_tables:
            if self.route_tables.count(table) > 1:
                raise BadParameter("route_tables", f"name {table} once")


class RouteKit(Kit[RouteParameters]):
    """Routes to one destination, e.g. 10.1.0.10/32, in any number of tables."""

    kind = "route"
    uses_aws = True
    reasserts = True
    summary = "VPC routes that lead a virtual IP to this node"
    Parameters: ClassVar[type[Any]] = RouteParameters
    default_check_interval_ms = 30_000  # at most two Describe calls a minute

    @classmethod
    def permissions(cls, parameters: RouteParameters) -> tuple[Permission, ...]:
        """Change these tables' routes; see tables and interfaces."""
        arn = "arn:{partition}:ec2:{region}:{account}:route-table/"
        return (
            Permission(
                why="MoveRoutes",
                actions=("ec2:CreateRoute", "ec2:ReplaceRoute"),
                resources=tuple(arn + table for table in parameters.route_tables),
            ),
            Permission(why="SeeRoutes", actions=("ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables")),
        )

    async def restore(self) -> None:
        """Create or replace the route in every table, and read back that all lead here.

        Raises KitError naming each table that doesn't, and why; Unanswered where nobody could tell, and
        where this node may not act any more.
        """
        try:
            interface = await self._interface()
        except AwsError as error:
            make = self.unanswered if error.unanswered else self.error
            raise make("restore", str(error)) from error
        tables = self.parameters.route_tables
        results = await asyncio.gather(*(self._point(table, interface) for table in tables))
        errors = {table: error for table, error in zip(tables, results, strict=True) if error}
        if gone := next((each for each in errors.values() if each.kind is AwsFault.NO_AUTHORITY), None):
            raise self.unanswered("restore", str(gone)) from gone
        refused = {table for table, error in errors.items() if not error.unanswered}
        try:
            wrong = await self._read_back(interface, errors)
            certain = wrong.keys() - (errors.keys() - refused)  # seen wrong, and not by want of an answer
        except AwsError as error:
            wrong = dict.fromkeys(tables, f"couldn't be read back: {error}")
            certain = refused
        if wrong:
            reasons = (f"{table}: {errors.get(table, why)}" for table, why in wrong.items())
            raise (self.error if certain else self.unanswered)("restore", "; ".join(reasons))

    async def remove(self) -> None:
        """Nothing: the route is left to the next owner."""

    async def quick_check(self) -> Check:
        """One DescribeRouteTables for all tables; UNKNOWN unless AWS answered it."""
        try:
            interface = await self._interface()
            seen = await self._describe()
        except AwsError as error:
            certain = error.kind is AwsFault.NOT_FOUND
            return Check.failed(str(error)) if certain else Check.unknown(str(error))
        wrong = self._wrong(seen, interface)
        if not wrong:
            return Check.ok()
        return Check.failed("; ".join(f"{table} {why}" for table, why in wrong.items()))

    async def validate(self) -> list[Finding]:
        """Whether tables and ENI exist, belong together, and the ENI takes packets for the destination."""
        try:
            interface = await self._interface()
            seen = await self._describe()
            missing = [table for table in self.parameters.route_tables if table not in seen]
            return [missing_table(table) for table in missing] + await interface_findings(
                self.tools.aws.ec2, interface, {table.vpc for table in seen.values()}
            )
        except AwsError as error:
            return [Finding(str(error), error.step or "try again when AWS answers")]

    async def _interface(self) -> str:
        """The ENI that the routes are to lead to."""
        if self.parameters.interface:
            return self.parameters.interface
        try:
            return (await self.tools.aws.identity()).interface(self.parameters.device)
        except AwsError as error:
            if error.kind is not AwsFault.NOT_FOUND:
                raise
        identity = await self.tools.aws.refresh_identity()  # an interface may have come since it was read
        return identity.interface(self.parameters.device)

    async def _point(self, table: str, interface: str) -> AwsError | None:
        """Lead one table's route to `interface`, whether it has one already or not."""
        route = {
            "RouteTableId": table,
            "NetworkInterfaceId": interface,
            **destination_parameter(self.parameters.destination),
        }
        error = await self._change("replace_route", route)
        if error and _no_such_route(error):
            error = await self._change("create_route", route)
            if error and error.code == "RouteAlreadyExists":  # made by another meanwhile, or by our lost try
                error = await self._change("replace_route", route)
        return error

    async def _change(self, operation: str, route: Mapping[str, str]) -> AwsError | None:
        """Send one change; returns its error, for the other tables' changes go on."""
        try:
            await patiently(lambda: self.tools.aws.ec2(operation, authority=self.tools.authority, **route))
        except AwsError as error:
            return error
        return None

    async def _read_back(self, interface: str, errors: Mapping[str, AwsError]) -> dict[str, str]:
        """The tables that don't lead to `interface`, and where they lead; raises AwsError."""
        wrong: dict[str, str] = {}
        for wait_s in SETTLE_S:
            await asyncio.sleep(wait_s)
            wrong = self._wrong(await patiently(self._describe), interface)
            if wrong.keys() <= errors.keys():  # waiting longer mends none of these
                break
        return wrong

    async def _describe(self) -> dict[str, Table]:
        """Those of the tables that exist: unlike a list of ids, a filter passes over missing ones."""
        named = [{"Name": "route-table-id", "Values": list(self.parameters.route_tables)}]
        answer = await self.tools.aws.ec2("describe_route_tables", Filters=named)
        return read_tables(answer, self.parameters.destination)

    def _wrong(self, seen: Mapping[str, Table], interface: str) -> dict[str, str]:
        reasons = {
            table: seen[table].why_not(interface) if table in seen else "doesn't exist"
            for table in self.parameters.route_tables
        }
        return {table: why for table, why in reasons.items() if why}


def _no_such_route(error: AwsError) -> bool:
    """EC2 answers InvalidParameterValue where one would expect NotFound, and says the rest in words."""
    return error.code == "InvalidRoute.NotFound" or "no route defined" in error.text.lower()
