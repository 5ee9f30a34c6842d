"""Transit gateway routes that follow a hierarchy; see README.md beside this file."""

from recovery_kits.transit_gateway_route.kit import TransitGatewayRouteKit
from recovery_kits.transit_gateway_route.parameters import TransitGatewayRouteParameters

__all__ = ["TransitGatewayRouteKit", "TransitGatewayRouteParameters"]
