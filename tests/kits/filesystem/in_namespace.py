"""Runs one scenario on real filesystems, in a process and a mount namespace of its own:

    unshare --mount --propagation private python -m tests.kits.filesystem.in_namespace NAME FOLDER

so that nothing it mounts can outlive it. test_real.py runs them all.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from tests.kits.filesystem import breaking, holding, mounting  # noqa: F401 (they fill SCENARIOS)
from tests.kits.filesystem.place import SCENARIOS, Place

__all__ = ["SCENARIOS"]


def main() -> None:
    """Run one scenario."""
    name, folder = sys.argv[1:]
    logging.basicConfig(stream=sys.stdout)
    asyncio.run(SCENARIOS[name](Place(Path(folder))))


if __name__ == "__main__":
    main()
