"""A secondary private address that follows the hierarchy within a subnet; see README.md beside this file."""

from recovery_kits.private_ip.kit import PrivateIpKit, PrivateIpParameters

__all__ = ["PrivateIpKit", "PrivateIpParameters"]
