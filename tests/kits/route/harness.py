"""A route kit on one node of the reference cluster, driven from plain tests."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

from recovery_kits.contract import ALWAYS, Authority, Check, Finding, Site, Tools
from recovery_kits.route import RouteKit, RouteParameters
from tests.aws_server import AwsServer, World
from tests.kits.acting import Agent, no_command

T = TypeVar("T")


class Node:
    """`name` in the reference cluster, which acts through `agent`."""

    def __init__(
        self,
        agent: Agent,
        world: World,
        name: str,
        authority: Authority = ALWAYS,
        state_dir: Path = Path("/nowhere"),  # only a search keeps anything
    ) -> None:
        self.agent, self.world = agent, world
        self.interface = world.node(name).interfaces[0].id
        self.memory = state_dir / "route/route-vip.json"
        self.log: list[str] = []
        self._tools = Tools(
            tag="route-vip",
            node=name,
            run=no_command,
            aws=agent.aws,
            authority=authority,
            site=Site(state_dir=state_dir),
            log=self.log.append,
        )

    def kit(self, **changes: Any) -> RouteKit:
        """A new kit, as after an agent's restart, for the world's tables and this node's ENI, unless told
        otherwise.
        """
        usual: dict[str, Any] = {
            "destination": ip_network(self.world.destination),
            "route_tables": () if "route_tables_by" in changes else self.world.route_tables,
            "interface": self.interface,
        }
        return RouteKit(RouteParameters(**(usual | changes)), self._tools)

    def restore(self, **changes: Any) -> None:
        """Run the action to its end."""
        self._run(self.kit(**changes).restore())

    def restore_in_vain(self, within_s: float) -> None:
        """Cut the action short, as the agent does when its time is up."""
        self._run(asyncio.wait_for(self.kit().restore(), within_s))

    def remove(self, **changes: Any) -> None:
        """Run the action to its end."""
        self._run(self.kit(**changes).remove())

    def recover(self, **changes: Any) -> None:
        """Run the action to its end."""
        self._run(self.kit(**changes).recover())

    def reassert(self, **changes: Any) -> None:
        """Run the action to its end."""
        self._run(self.kit(**changes).reassert())

    def check(self, **changes: Any) -> Check:
        """The answer of quick_check."""
        return self._run(self.kit(**changes).quick_check())

    def validate(self, **changes: Any) -> Sequence[Finding]:
        """What validate finds."""
        return self._run(self.kit(**changes).validate())

    def _run(self, action: Coroutine[Any, Any, T]) -> T:
        return self.agent.runner.run(action)


def targets(server: AwsServer, world: World, destination: str | None = None) -> list[str | None]:
    """Where each of the world's tables leads the destination: an ENI's id, or None."""
    return [target(server, table, destination or world.destination) for table in world.route_tables]


def target(server: AwsServer, table: str, destination: str) -> str | None:
    """Where one table leads the destination."""
    wanted = ip_network(destination)
    with closing(server.ec2()) as client:
        routes = client.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    for route in routes:
        said = route.get("DestinationCidrBlock") or route["DestinationIpv6CidrBlock"]
        if ip_network(said) == wanted:
            return route.get("NetworkInterfaceId")
    return None


def operations(server: AwsServer) -> list[str]:
    """What was called, in its order."""
    return [call.operation for call in server.control.journal()]
