"""The `ip` kit: a virtual address on a network device."""

from recovery_kits.ip.kit import IpKit

__all__ = ["IpKit"]
