"""VPC routes that lead a virtual IP to this node's ENI.

Its invariants:
- all tables are changed in parallel, and one that fails doesn't hide behind another that worked;
- tables that a search found last are changed at once, without waiting for it to find them again; a route
  is created only in a table that is named, or that AWS has just told of;
- a change that nobody answered is settled by reading back, not by its error;
- every change goes out by this node's authority: without it nothing is sent;
- EC2 has no compare-and-set, so a former owner's change may land after this node's: `reassert` doesn't
  look first (a reading may be older than that change) but writes again, then reads back;
- `remove` calls nothing: the route belongs to whoever takes it next, and AWS may be out of reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from agent.aws import AwsError, AwsFault
from recovery_kits import verdicts
from recovery_kits.contract import Check, Finding, Kit, KitError, Permission, Tools, Unanswered
from recovery_kits.interface import find_interface
from recovery_kits.patience import patiently
from recovery_kits.route.access import permissions
from recovery_kits.route.advice import interface_findings, missing_table, nothing_found, prefix_list_findings
from recovery_kits.route.parameters import RouteParameters
from recovery_kits.route.search import Tables
from recovery_kits.route.tables import Table, destination_parameter
from recovery_kits.settling import settle

SETTLE_S = (0.0, 0.3, 0.6)  # waits before each reading back: EC2 may show a change late


class RouteKit(Kit[RouteParameters]):
    """Routes to one destination, e.g. 10.1.0.10/32, in any number of tables."""

    kind = "route"
    aws_services = ("ec2",)
    reasserts = True
    summary = "VPC routes that lead a virtual IP to this node"
    Parameters: ClassVar[type[Any]] = RouteParameters
    default_check_interval_ms = 30_000  # at most two Describe calls a minute

    def __init__(self, parameters: RouteParameters, tools: Tools) -> None:
        super().__init__(parameters, tools)
        self._tables = Tables(parameters, tools)

    @classmethod
    def permissions(cls, parameters: RouteParameters) -> tuple[Permission, ...]:
        """See and change the tables' routes, or assume the role that may; see and repair the ENI."""
        return permissions(parameters)

    async def restore(self) -> None:
        """Lead the route in every table here and let the ENI take its packets, if that is wished.

        Raises KitError naming what isn't so, and why; Unanswered where nobody could tell, and where this
        node may not act any more.
        """
        interface = await self._interface("restore")
        steps = [self._lead("restore", interface)]
        if self.parameters.repair_source_dest_check:
            steps.append(self._pass_packets(interface))
        failures = [each for each in await asyncio.gather(*steps, return_exceptions=True) if each]
        reasons: list[str] = []
        for each in failures:
            if not isinstance(each, KitError):
                raise each
            reasons.append(each.reason)
        if failures:
            unsure = all(isinstance(each, Unanswered) for each in failures)
            raise (self.unanswered if unsure else self.error)("restore", "; ".join(reasons))

    async def reassert(self) -> None:
        """Write the routes again, and nothing else."""
        await self._lead("reassert", await self._interface("reassert"))

    async def remove(self) -> None:
        """Nothing: the route is left to the next owner."""

    async def quick_check(self) -> Check:
        """One DescribeRouteTables for all tables; UNKNOWN unless AWS answered it."""
        try:
            interface = await self._find_interface()
            seen = await self._tables.look_and_remember(interface)
            if not seen:
                return Check.failed(await self._nothing_found(interface))
        except AwsError as error:
            return verdicts.check(error)
        wrong = _wrong(seen, interface)
        if not wrong:
            return Check.ok()
        return Check.failed("; ".join(f"{table} {why}" for table, why in wrong.items()))

    async def validate(self) -> list[Finding]:
        """Whether tables and ENI exist, belong together, and the ENI takes packets for the destination."""
        aws, parameters = self.tools.aws, self.parameters
        try:
            interface = await self._find_interface()
            seen = await self._tables.look(interface)
            findings = [missing_table(each.id) for each in seen.values() if not each.exists]
            if not seen:
                findings.append(nothing_found(parameters, await self._tables.vpc(interface)))
            vpcs = {each.vpc for each in seen.values() if each.exists}
            findings += await interface_findings(aws, parameters, interface, vpcs)
            return findings + await prefix_list_findings(aws, parameters)
        except AwsError as error:
            return [verdicts.finding(error)]

    async def _find_interface(self) -> str:
        """The ENI that the routes are to lead to; raises AwsError."""
        return await find_interface(self.tools.aws, self.parameters.interface, self.parameters.device)

    async def _interface(self, action: str) -> str:
        try:
            return await self._find_interface()
        except AwsError as error:
            raise verdicts.failure(self, action, error) from error

    async def _pass_packets(self, interface: str) -> None:
        """Have the ENI take packets for addresses that aren't its own."""
        ec2 = self.tools.aws.ec2

        async def why_not() -> str | None:
            answer = await ec2("describe_network_interfaces", NetworkInterfaceIds=[interface])
            on = answer["NetworkInterfaces"][0].get("SourceDestCheck", True)
            return f"the source/dest check of {interface} is on" if on else None

        await settle(
            self,
            "restore",
            lambda: ec2(
                "modify_network_interface_attribute",
                authority=self.tools.authority,
                NetworkInterfaceId=interface,
                SourceDestCheck={"Value": False},
            ),
            why_not,
            SETTLE_S,
        )

    async def _lead(self, action: str, interface: str) -> None:
        """Create or replace the route in every table, and read back that all lead to `interface`."""
        known, named = await self._tables.known(), self._tables.named
        tried = await self._change_all(action, known, interface, create=named)
        try:
            wrong = await self._read_back(action, interface, tried)
        except AwsError as error:
            if not tried:
                raise verdicts.failure(self, action, error) from error
            wrong = dict.fromkeys(tried, f"couldn't be read back: {error}")
            # What was found long ago may be gone for good reason: its refusal proves nothing.
            certain = {table for table, each in tried.items() if named and each and not each.unanswered}
        else:
            unsure = {table for table, each in tried.items() if each and each.unanswered}
            certain = wrong.keys() - unsure  # seen wrong, and not by want of an answer
        if wrong:
            reasons = (f"{table}: {tried.get(table) or why}" for table, why in wrong.items())
            raise (self.error if certain else self.unanswered)(action, "; ".join(reasons))

    async def _read_back(
        self, action: str, interface: str, tried: dict[str, AwsError | None]
    ) -> dict[str, str]:
        """The tables that don't lead to `interface`, and where they lead; raises AwsError.

        A table that is found only now is changed, and added to `tried`.
        """
        wrong: dict[str, str] = {}
        for wait_s in SETTLE_S:
            await asyncio.sleep(wait_s)
            seen = await patiently(lambda: self._tables.look_and_remember(interface))
            if not seen:
                raise self.error(action, await self._nothing_found(interface))
            wrong = _wrong(seen, interface)
            if all(tried.get(table) for table in wrong):  # waiting longer mends none of these
                break
            late = [table for table in wrong if table not in tried]
            tried |= await self._change_all(action, late, interface, create=True)
        return wrong

    async def _change_all(
        self, action: str, tables: Iterable[str], interface: str, *, create: bool
    ) -> dict[str, AwsError | None]:
        """Each table that was changed, or why it couldn't be; without `create` those alone that have a route.

        Raises Unanswered where this node may not act any more.
        """
        routes = [
            {
                "RouteTableId": table,
                "NetworkInterfaceId": interface,
                **destination_parameter(self.parameters.destination),
            }
            for table in tables
        ]
        errors = await asyncio.gather(*(self._point(route, create=create) for route in routes))
        tried: dict[str, AwsError | None] = {}
        for route, error in zip(routes, errors, strict=True):
            if error and error.kind is AwsFault.NO_AUTHORITY:
                raise self.unanswered(action, str(error)) from error
            if create or not (error and _no_such_route(error)):
                tried[route["RouteTableId"]] = error
        return tried

    async def _point(self, route: Mapping[str, str], *, create: bool) -> AwsError | None:
        """Replace one table's route, or create it where there is none yet."""
        error = await self._change("replace_route", route)
        if create and error and _no_such_route(error):
            error = await self._change("create_route", route)
            if error and error.code == "RouteAlreadyExists":  # made by another meanwhile, or by our lost try
                error = await self._change("replace_route", route)
        return error

    async def _change(self, operation: str, route: Mapping[str, str]) -> AwsError | None:
        """Send one change; returns its error, for the other tables' changes go on."""
        role, authority = self.parameters.role_arn, self.tools.authority
        try:
            await patiently(lambda: self.tools.aws.ec2(operation, authority=authority, role=role, **route))
        except AwsError as error:
            return error
        return None

    async def _nothing_found(self, interface: str) -> str:
        finding = nothing_found(self.parameters, await self._tables.vpc(interface))
        return f"{finding.problem}: {finding.remedy}"


def _wrong(seen: Mapping[str, Table], interface: str) -> dict[str, str]:
    """The tables that don't lead to `interface`, each with why."""
    reasons = {table: each.why_not(interface) for table, each in seen.items()}
    return {table: why for table, why in reasons.items() if why}


def _no_such_route(error: AwsError) -> bool:
    """EC2 answers InvalidParameterValue where one would expect NotFound, and says the rest in words."""
    return error.code == "InvalidRoute.NotFound" or "no route defined" in error.text.lower()
