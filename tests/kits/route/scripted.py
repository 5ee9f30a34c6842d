"""An EC2 in memory for what moto doesn't know: routes to prefix lists, and instances of other accounts.

moto refuses to store a route to a prefix list, and always names the instance behind an ENI.
"""

from __future__ import annotations

from typing import Any

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Authority, Site, Tools
from recovery_kits.route import RouteKit, RouteParameters
from tests.kits.acting import no_command
from tests.kits.fakes import NoAws

VPC, INTERFACE, OTHER_INTERFACE = "vpc-00000000", "eni-00000001", "eni-00000002"
TABLES = ("rtb-0000000a", "rtb-0000000c")
KEYS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")


class ScriptedAws(NoAws):
    """Tables of one VPC; a route is its ENI, and no instance is named."""

    def __init__(self, *prefix_lists: str) -> None:
        self.routes: dict[str, dict[tuple[str, str], str]] = {table: {} for table in TABLES}
        self.prefix_lists = prefix_lists
        self.called: list[str] = []
        self.page_length = 100

    async def ec2(
        self, operation: str, *, authority: Authority | None = None, role: str | None = None, **given: Any
    ) -> dict[str, Any]:
        """Answer one call."""
        self.called.append(operation)
        answer: dict[str, Any] = getattr(self, f"_{operation}")(given)
        return answer

    def _describe_network_interfaces(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {"NetworkInterfaces": [{"VpcId": VPC, "SourceDestCheck": False}]}

    def _describe_managed_prefix_lists(self, given: dict[str, Any]) -> dict[str, Any]:
        (wanted,) = given["Filters"]
        return {"PrefixLists": [each for each in self.prefix_lists if each in wanted["Values"]]}

    def _describe_route_tables(self, given: dict[str, Any]) -> dict[str, Any]:
        begin = int(given.get("NextToken", "0"))
        end = begin + self.page_length
        answer: dict[str, Any] = {
            "RouteTables": [
                {
                    "RouteTableId": table,
                    "VpcId": VPC,
                    "Routes": [
                        {key: value, "NetworkInterfaceId": interface, "State": "active"}
                        for (key, value), interface in routes.items()
                    ],
                }
                for table, routes in list(self.routes.items())[begin:end]
            ]
        }
        return answer | ({"NextToken": str(end)} if end < len(self.routes) else {})

    def _replace_route(self, given: dict[str, Any]) -> dict[str, Any]:
        (key,) = given.keys() & set(KEYS)
        routes = self.routes[given["RouteTableId"]]
        if (key, given[key]) not in routes:
            text = f"There is no route defined for '{given[key]}' in the route table."
            raise AwsError(AwsFault.REFUSED, "ReplaceRoute", "InvalidParameterValue", text)
        return self._create_route(given)

    def _create_route(self, given: dict[str, Any]) -> dict[str, Any]:
        (key,) = given.keys() & set(KEYS)
        self.routes[given["RouteTableId"]][key, given[key]] = given["NetworkInterfaceId"]
        return {}


def scripted_kit(aws: ScriptedAws, parameters: RouteParameters, site: Site) -> RouteKit:
    """A kit that asks this EC2."""
    tools = Tools(tag="route-vip", node="db-01", run=no_command, aws=aws, site=site)  # type: ignore[arg-type]
    return RouteKit(parameters, tools)
