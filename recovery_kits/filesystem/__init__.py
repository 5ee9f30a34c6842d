"""The `filesystem` kit: a mount."""

from recovery_kits.filesystem.kit import FilesystemKit

__all__ = ["FilesystemKit"]
