"""A transit-gateway-route kit on one node, and the transit gateway as an operator sees it."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, TypeVar

from agent.aws import Machine
from recovery_kits.contract import ALWAYS, Authority, Aws, Check, Finding, Tools
from recovery_kits.transit_gateway_route import TransitGatewayRouteKit, TransitGatewayRouteParameters
from tests.aws_server import AwsServer, World
from tests.kits.acting import Agent, Known, no_command

__all__ = ["DESTINATION", "Agent", "Gateway", "Node"]

T = TypeVar("T")
DESTINATION = "10.1.0.10/32"


class Gateway:
    """The transit gateway, its attachments by node, and two tables; close it."""

    def __init__(self, server: AwsServer, world: World) -> None:
        self.server, self.world, self.client = server, world, server.ec2()
        self.id = self.client.create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
        vpc = self.client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        subnet = self.client.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
        self.attachments = {
            "db-01": self._attach(self.id, world.vpc_id, world.subnets["db-01-0"]),
            "db-02": self._attach(self.id, vpc, subnet),
        }
        self.tables = tuple(self.table(self.id) for _ in range(2))
        server.forget_calls()

    def table(self, gateway: str) -> str:
        """A new table of that transit gateway."""
        made = self.client.create_transit_gateway_route_table(TransitGatewayId=gateway)
        return made["TransitGatewayRouteTable"]["TransitGatewayRouteTableId"]

    def leads_to(self, destination: str = DESTINATION) -> list[str | None]:
        """Where each table leads it: an attachment, or None."""
        return [self._leads_to(table, destination) for table in self.tables]

    def delete_route(self, table: str) -> None:
        """As an operator may."""
        self.client.delete_transit_gateway_route(
            TransitGatewayRouteTableId=table, DestinationCidrBlock=DESTINATION
        )

    def operations(self) -> list[str]:
        """The calls since the scene was set."""
        return [call.operation for call in self.server.control.journal()]

    def close(self) -> None:
        """Drop the connection."""
        self.client.close()

    def _leads_to(self, table: str, destination: str) -> str | None:
        found = self.client.search_transit_gateway_routes(
            TransitGatewayRouteTableId=table,
            Filters=[{"Name": "route-search.exact-match", "Values": [destination]}],
        )["Routes"]
        return found[0]["TransitGatewayAttachments"][0]["TransitGatewayAttachmentId"] if found else None

    def _attach(self, gateway: str, vpc: str, subnet: str) -> str:
        made = self.client.create_transit_gateway_vpc_attachment(
            TransitGatewayId=gateway, VpcId=vpc, SubnetIds=[subnet]
        )
        return made["TransitGatewayVpcAttachment"]["TransitGatewayAttachmentId"]


@dataclass
class Node:
    """`name` in the reference cluster, which acts through `agent`."""

    agent: Agent
    gateway: Gateway
    name: str
    authority: Authority = ALWAYS

    @property
    def attachment(self) -> str:
        """Its VPC's."""
        return self.gateway.attachments[self.name]

    def kit(self, **changes: Any) -> TransitGatewayRouteKit:
        """A kit for both tables and this node's attachment, unless told otherwise."""
        usual: dict[str, Any] = {
            "destination": ip_network(DESTINATION),
            "route_tables": self.gateway.tables,
            "attachments": (self.attachment,),
        }
        node = self.gateway.world.node(self.name)
        machine = Machine(
            instance_id=node.instance_id,
            region=self.gateway.world.region,
            availability_zone=node.availability_zone,
            interfaces={},
        )
        aws: Aws = Known(self.agent.aws, machine)
        tools = Tools(tag="transit", node=self.name, run=no_command, aws=aws, authority=self.authority)
        return TransitGatewayRouteKit(TransitGatewayRouteParameters(**(usual | changes)), tools)

    def restore(self, **changes: Any) -> None:
        """Run the action to its end."""
        self.do(self.kit(**changes).restore())

    def reassert(self) -> None:
        """Run the action to its end."""
        self.do(self.kit().reassert())

    def recover(self) -> None:
        """Run the action to its end."""
        self.do(self.kit().recover())

    def remove(self) -> None:
        """Run the action to its end."""
        self.do(self.kit().remove())

    def check(self, **changes: Any) -> Check:
        """The answer of quick_check."""
        return self.do(self.kit(**changes).quick_check())

    def validate(self, **changes: Any) -> Sequence[Finding]:
        """What validate finds."""
        return self.do(self.kit(**changes).validate())

    def do(self, action: Coroutine[Any, Any, T]) -> T:
        """Run it in the agent's loop."""
        return self.agent.runner.run(action)
