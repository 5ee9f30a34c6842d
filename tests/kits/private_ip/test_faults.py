"""What the private-ip kit promises while AWS doesn't work."""

from __future__ import annotations

from tests.kits.moved_address import Faults


class TestPrivateIp(Faults):
    """As every kit that moves one address by one call."""
