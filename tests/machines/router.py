"""The VPC's router: makes packets go where the test server's route tables say.

Each route table of an app subnet becomes a Linux table that packets from this subnet look up. So a
route that nobody moved, or that points nowhere, is an outage that the client sees.
"""

from __future__ import annotations

import subprocess
import threading

from moto.ec2.models import ec2_backends
from moto.ec2.models.route_tables import Route

from tests.aws_server import World

FIRST_TABLE = 101
COMMAND_LIMIT_S = 5.0

Routes = dict[tuple[int, str], str]  # (Linux table, destination) -> "10.1.0.10/32 via 10.0.3.4"


class Router:
    """Programs the network namespace it runs in when told to, and after each call that changes a route."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._wake = threading.Event()
        self._ending = False
        self._sources: set[tuple[int, str]] = set()
        self._routes: Routes = {}
        self._thread = threading.Thread(target=self._work, name="router")
        self._thread.start()

    def applied(self, operation: str) -> None:
        """A call was applied; those that only read change no route."""
        if operation.startswith("ec2:") and not operation.startswith("ec2:Describe"):
            self.program()

    def program(self) -> None:
        """Follow the tables as they are now, soon; the subnets they point into must be there."""
        self._wake.set()

    def close(self) -> None:
        """End the thread."""
        self._ending = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()  # before reading: a change meanwhile wakes it again
            if self._ending:
                return
            sources, routes = _wanted(self._region)
            self._apply(sources, routes)
            self._sources, self._routes = sources, routes

    def _apply(self, sources: set[tuple[int, str]], routes: Routes) -> None:
        """`replace` moves a route without a moment in which there is none."""
        new = (
            f"rule add from {source} priority {table} lookup {table}"
            for table, source in sources - self._sources
        )
        moved = (
            f"route replace {how} table {table}"
            for (table, to), how in routes.items()
            if self._routes.get((table, to)) != how
        )
        gone = (f"route delete {to} table {table}" for table, to in self._routes.keys() - routes.keys())
        if batch := [*new, *moved, *gone]:
            subprocess.run(
                ["ip", "-batch", "-"], input="\n".join(batch), text=True, check=True, timeout=COMMAND_LIMIT_S
            )


def _wanted(region: str) -> tuple[set[tuple[int, str]], Routes]:
    """Which source ranges look up which table, and the tables' routes, as moto has them now."""
    sources: set[tuple[int, str]] = set()
    routes: Routes = {}
    for account in list(ec2_backends.values()):
        backend = account[region]
        subnets = {each.id: each.cidr_block for zone in backend.subnets.values() for each in zone.values()}
        tables = list(backend.route_tables.values())  # in the order in which they were made
        for number, table in enumerate(tables, FIRST_TABLE):
            used = {
                subnets[each["SubnetId"]] for each in table.associations if each.get("SubnetId") in subnets
            }
            sources |= {(number, source) for source in used}
            for route in table.routes if used else ():
                if route.destination_cidr_block and not _leaves(route):
                    target = route.interface.private_ip_address if route.interface else None
                    to = route.destination_cidr_block
                    routes[number, to] = f"{to} via {target}" if target else f"unreachable {to}"
    return sources, routes


def _leaves(route: Route) -> bool:
    """Whether it leads to what isn't here: the VPC itself, whose subnets are, or a gateway out of it."""
    gateways = (route.gateway, route.nat_gateway, route.transit_gateway, route.vpc_endpoint_id)
    return route.local or any(gateways)


def targets(world: World) -> dict[str, dict[str, str]]:
    """The app subnets' tables in moto: table id -> destination -> ENI id, "" for one that points nowhere."""
    found: dict[str, dict[str, str]] = {}
    for account in list(ec2_backends.values()):
        tables = account[world.region].route_tables
        for name in world.route_tables:
            found[name] = {
                route.destination_cidr_block: route.network_interface_id or ""
                for route in tables[name].routes
                if route.destination_cidr_block and not route.local
            }
    return found


def running(region: str) -> list[str]:
    """The ids of the instances that run, in moto."""
    backends = [account[region] for account in list(ec2_backends.values())]
    return [
        each.id
        for backend in backends
        for reservation in list(backend.reservations.values())
        for each in list(reservation.instances)
        if each.state == "running"
    ]
