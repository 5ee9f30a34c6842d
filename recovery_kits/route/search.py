"""Which route tables a resource's route is kept in, and what AWS says of them.

Keeps:
- one DescribeRouteTables tells both which tables there are and where they lead;
- a search stays in one VPC: an address like this may be in use in several;
- a table found by its route stays found when somebody deletes that route, else nobody would notice;
- a search that finds nothing doesn't make anybody forget what was found before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Tools
from recovery_kits.route.memory import Memory
from recovery_kits.route.parameters import BY_VIP, RouteParameters
from recovery_kits.route.tables import Table, read_tables

MOST_PAGES = 10  # of an answer; AWS sends everything at once unless there are very many tables
Filters = Sequence[dict[str, Any]]


class Tables:
    """The tables of one resource: those that are named, or those that a search finds."""

    def __init__(self, parameters: RouteParameters, tools: Tools) -> None:
        self._parameters, self._ec2 = parameters, tools.aws.ec2
        of = " ".join(
            str(each) for each in (parameters.route_tables_by, parameters.destination, parameters.role_arn)
        )
        self._vpcs: dict[str, str] = {}  # ENI -> VPC, until that is remembered
        self._memory = Memory(tools.site.state_dir / "route" / f"{tools.tag}.json", of, tools.log)

    @property
    def named(self) -> bool:
        """Whether the configuration names them."""
        return bool(self._parameters.route_tables)

    async def known(self) -> tuple[str, ...]:
        """Those named, or found last; asks AWS nothing."""
        return self._parameters.route_tables or (await self._memory.recall()).tables

    async def look(self, interface: str) -> dict[str, Table]:
        """All tables, by id, also those named that don't exist; of a search only what there is.

        Raises AwsError.
        """
        if self.named:
            ids = self._parameters.route_tables
            # Unlike a list of ids, a filter passes over missing ones.
            there = await self._describe([_filter("route-table-id", *ids)])
            return {each: there.get(each) or Table(each, exists=False) for each in ids}
        filters = [_filter("vpc-id", await self.vpc(interface))]
        if tag := self._parameters.tag:
            filters.append(_filter(f"tag:{tag[0]}", tag[1]))
        tables = await self._describe(filters)
        if self._parameters.route_tables_by == BY_VIP:
            known = set(await self.known())
            tables = {id_: each for id_, each in tables.items() if each.target is not None or id_ in known}
        return tables

    async def look_and_remember(self, interface: str) -> dict[str, Table]:
        """The same; what a search finds is what is known from now on."""
        tables = await self.look(interface)
        if tables and not self.named:
            await self._memory.keep(interface, await self.vpc(interface), tuple(sorted(tables)))
        return tables

    async def vpc(self, interface: str) -> str:
        """Where a search looks; asked of AWS once for each ENI, which never changes its VPC."""
        if self._parameters.vpc:
            return self._parameters.vpc
        seen = await self._memory.recall()
        if seen.interface == interface:
            return seen.vpc
        if interface not in self._vpcs:
            answer = await self._ec2("describe_network_interfaces", NetworkInterfaceIds=[interface])
            self._vpcs = {interface: answer["NetworkInterfaces"][0]["VpcId"]}
        return self._vpcs[interface]

    async def _describe(self, filters: Filters) -> dict[str, Table]:
        found: dict[str, Table] = {}
        page: dict[str, Any] = {}
        for _ in range(MOST_PAGES):
            answer = await self._ec2(
                "describe_route_tables", role=self._parameters.role_arn, Filters=filters, **page
            )
            found |= read_tables(answer, self._parameters.destination)
            if not answer.get("NextToken"):
                return found
            page = {"NextToken": answer["NextToken"]}
        text = f"more than {MOST_PAGES} pages of route tables"
        raise AwsError(AwsFault.REFUSED, "DescribeRouteTables", "TooMany", text, "choose them by a tag")


def _filter(name: str, *values: str) -> dict[str, Any]:
    return {"Name": name, "Values": list(values)}
