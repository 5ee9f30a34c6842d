"""A DNS record that follows a hierarchy; see README.md beside this file."""

from recovery_kits.route53.kit import Route53Kit
from recovery_kits.route53.parameters import Route53Parameters

__all__ = ["Route53Kit", "Route53Parameters"]
