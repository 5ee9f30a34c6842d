"""The `systemd` kit: a unit."""

from recovery_kits.systemd.kit import SystemdKit

__all__ = ["SystemdKit"]
