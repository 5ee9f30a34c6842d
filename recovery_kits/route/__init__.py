"""A virtual IP by VPC routes; see README.md beside this file."""

from recovery_kits.route.kit import RouteKit
from recovery_kits.route.parameters import RouteParameters

__all__ = ["RouteKit", "RouteParameters"]
