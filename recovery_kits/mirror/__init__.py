"""The `mirror` kit: a block device that is kept the same on several nodes, by md and nbd."""

from recovery_kits.mirror.kit import MirrorKit

__all__ = ["MirrorKit"]
