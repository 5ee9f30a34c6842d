"""Where moto's transit gateway routes differ from AWS, put right.

moto has no ReplaceTransitGatewayRoute, leaves the attachment out of what SearchTransitGatewayRoutes finds,
knows no blackhole, and overwrites what CreateTransitGatewayRoute would make a second time. Written against
moto 5.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses.transit_gateway_route_tables import TransitGatewayRouteTable


def patches() -> Iterator[tuple[type, str, object]]:
    """Class, name, and what belongs there."""
    yield TransitGatewayRouteTable, "create_transit_gateway_route", _create
    yield TransitGatewayRouteTable, "replace_transit_gateway_route", _replace
    yield TransitGatewayRouteTable, "delete_transit_gateway_route", _delete
    yield TransitGatewayRouteTable, "search_transit_gateway_routes", _search


def _create(response: Any) -> ActionResult:
    routes, destination = _routes(response), response._get_param("DestinationCidrBlock")
    if destination in routes:
        raise EC2ClientError("RouteAlreadyExists", f"Route {destination} already exists.")
    return _write(response, routes, destination)


def _replace(response: Any) -> ActionResult:
    routes, destination = _routes(response), response._get_param("DestinationCidrBlock")
    if destination not in routes:
        raise EC2ClientError("InvalidRoute.NotFound", f"Route {destination} does not exist.")
    return _write(response, routes, destination)


def _delete(response: Any) -> ActionResult:
    destination = response._get_param("DestinationCidrBlock")
    attachment = _routes(response).pop(destination)
    return ActionResult({"Route": _describe(response, destination, attachment) | {"State": "deleted"}})


def _search(response: Any) -> ActionResult:
    filters = response._filters_from_querystring()
    wanted = filters.get("route-search.exact-match")
    found = [
        _describe(response, name, attachment)
        for name, attachment in _routes(response).items()
        if wanted is None or name in wanted
    ]
    return ActionResult({"Routes": found, "AdditionalRoutesAvailable": False})


def _write(response: Any, routes: dict[str, str | None], destination: str) -> ActionResult:
    attachment = response._get_param("TransitGatewayAttachmentId")
    if attachment and attachment not in response.ec2_backend.transit_gateway_attachments:
        text = f"Transit Gateway Attachment {attachment} was deleted or does not exist."
        raise EC2ClientError("InvalidTransitGatewayAttachmentID.NotFound", text)
    routes[destination] = attachment
    return ActionResult({"Route": _describe(response, destination, attachment)})


def _routes(response: Any) -> dict[str, str | None]:
    """The table's static routes: destination -> attachment, None for one that drops the packets."""
    name = response._get_param("TransitGatewayRouteTableId")
    table = response.ec2_backend.transit_gateways_route_tables.get(name)
    if table is None:
        text = f"Transit Gateway Route Table {name} was deleted or does not exist."
        raise EC2ClientError("InvalidRouteTableID.NotFound", text)
    routes: dict[str, str | None] = table.routes
    return routes


def _describe(response: Any, destination: str, attachment: str | None) -> dict[str, Any]:
    known = response.ec2_backend.transit_gateway_attachments.get(attachment)
    described = {"TransitGatewayAttachmentId": attachment, "ResourceType": "vpc"}
    return {
        "DestinationCidrBlock": destination,
        "TransitGatewayAttachments": [described] if attachment else [],
        "Type": "static",
        "State": "active" if known and known.state == "available" else "blackhole",
    }
