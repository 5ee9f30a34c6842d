"""The `generic` kit: anything that scripts can start and stop."""

from recovery_kits.generic.kit import GenericKit

__all__ = ["GenericKit"]
