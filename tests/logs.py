"""The logs that a failed test shows: whoever starts something for a test leaves here how to read them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

LOGS = pytest.StashKey[Callable[[], str]]()
