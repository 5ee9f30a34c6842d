"""Where moto's EC2 differs from AWS in ways that a failover would notice, put right.

Patches moto's classes for the whole process; written against moto 5.2.
"""

from __future__ import annotations

import os
from typing import Any

from moto.ec2.exceptions import RouteAlreadyExistsError
from moto.ec2.models.route_tables import Route, RouteBackend

from tests.aws_server import addresses, iam, instances, route53, transit_gateway

_moto_create_route = RouteBackend.create_route
_moto_replace_route = RouteBackend.replace_route


def install() -> None:
    """Patch moto; again is harmless."""
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # 1,300 images, loaded anew after each reset
    _patch(RouteBackend, "create_route", _create_route)
    _patch(RouteBackend, "replace_route", _replace_route)
    _patch(Route, "instance_id", property(_instance_id))
    _patch(Route, "network_interface_id", property(_network_interface_id))
    _patch(Route, "state", property(_state))
    for module in (addresses, iam, instances, route53, transit_gateway):
        for owner, name, replacement in module.patches():
            _patch(owner, name, replacement)


def _patch(owner: type, name: str, replacement: object) -> None:
    setattr(owner, name, replacement)


def _create_route(
    backend: Any, route_table_id: str, destination_cidr_block: str | None, *args: Any, **kwargs: Any
) -> Any:
    """Refuse a second route to one destination; moto overwrites the first."""
    ipv6 = args[0] if args else kwargs.get("destination_ipv6_cidr_block")
    destination = destination_cidr_block or ipv6
    if f"{route_table_id}~{destination}" in backend.get_route_table(route_table_id)._routes:
        raise RouteAlreadyExistsError(str(destination))
    return _moto_create_route(backend, route_table_id, destination_cidr_block, *args, **kwargs)


def _replace_route(backend: Any, *args: Any, **kwargs: Any) -> Any:
    """Refuse an unknown ENI before anything changes; moto clears the route's target first."""
    if interface := kwargs.get("interface_id"):
        backend.get_network_interface(interface)
    return _moto_replace_route(backend, *args, **kwargs)


def _instance_id(route: Any) -> str | None:
    """AWS names both the ENI and its instance, whichever of them the route was made with."""
    instance = route.instance or (route.interface and route.interface.instance)
    return instance.id if instance else None


def _network_interface_id(route: Any) -> str | None:
    if route.interface:
        return str(route.interface.id)
    return route.instance.nics[0].id if route.instance and route.instance.nics else None


def _state(route: Any) -> str:
    """A route whose ENI is deleted or detached, or whose instance doesn't run, is a black hole."""
    if not route.interface and not route.instance:
        return "active"
    if route.interface and route.interface.id not in route.interface.ec2_backend.enis:
        return "blackhole"
    instance = route.instance or route.interface.instance
    return "active" if instance and instance._state.name == "running" else "blackhole"
