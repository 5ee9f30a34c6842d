"""A network interface that follows the hierarchy within an availability zone; see README.md here."""

from recovery_kits.eni.kit import EniKit, EniParameters

__all__ = ["EniKit", "EniParameters"]
