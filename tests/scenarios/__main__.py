"""`python -m tests.scenarios FILE…`: write the replies anew as they are now; all files if none is named."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.scenarios.player import played

for file in map(Path, sys.argv[1:] or sorted(map(str, Path(__file__).parent.glob("*.txt")))):
    file.write_text(played(file.read_text()))
