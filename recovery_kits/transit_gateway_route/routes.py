"""One table's route to one destination, as EC2 lists it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any

Network = IPv4Network | IPv6Network
GONE = frozenset({"deleting", "deleted"})


@dataclass(frozen=True)
class Route:
    """A static route."""

    attachments: tuple[str, ...]  # one; none where it drops the packets
    state: str  # "active", "blackhole", or "pending": AWS is at it still


def why_not(route: Route | None, attachment: str) -> str | None:
    """What is wrong unless the route leads to `attachment`."""
    if route is None:
        return "has no static route to the destination"
    if route.attachments and route.attachments != (attachment,):
        return f"leads to {', '.join(route.attachments)}"
    if route.state == "blackhole":
        return (
            f"is a blackhole: {attachment} is gone"
            if route.attachments
            else "drops the packets (a blackhole)"
        )
    return None if route.state == "active" else f"is {route.state}"


def search(table: str, destination: Network) -> dict[str, Any]:
    """What to ask SearchTransitGatewayRoutes, which takes one table."""
    wanted = {"route-search.exact-match": str(destination), "type": "static"}
    filters = [{"Name": name, "Values": [value]} for name, value in wanted.items()]
    return {"TransitGatewayRouteTableId": table, "Filters": filters}


def read_route(answer: Mapping[str, Any]) -> Route | None:
    """The route in the answer; None if there is none."""
    for each in answer.get("Routes", ()):
        if each["State"] not in GONE:
            leads_to = each.get("TransitGatewayAttachments", ())
            return Route(tuple(one["TransitGatewayAttachmentId"] for one in leads_to), each["State"])
    return None
