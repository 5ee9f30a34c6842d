"""The `mirror` kit: a block device that is kept the same on several nodes, by md and nbd.

The kit is loaded when it is asked for: the relay's program, which has the standard library alone, is below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recovery_kits.mirror.kit import MirrorKit

__all__ = ["MirrorKit"]


def __getattr__(name: str) -> Any:
    if name != "MirrorKit":
        raise AttributeError(name)
    from recovery_kits.mirror.kit import MirrorKit  # noqa: PLC0415 (see above)

    return MirrorKit
