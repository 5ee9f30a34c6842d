"""Exports of a protected filesystem; see README.md beside this file."""

from recovery_kits.nfs.kit import NfsKit
from recovery_kits.nfs.parameters import NfsParameters

__all__ = ["NfsKit", "NfsParameters"]
