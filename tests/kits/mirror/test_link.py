"""What is known of a node's connections without having made them."""

from __future__ import annotations

import socket

import pytest

from recovery_kits.mirror.link import _connected


@pytest.mark.parametrize(("address", "other"), [("127.0.0.1", "127.0.0.2"), ("::1", "fd00::1")])
def test_the_address_of_a_standing_connection_is_found(address: str, other: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        assert _connected((other, address), port) is None
        with socket.create_connection((address, port)):
            assert _connected((other, address), port) == address
            assert _connected((other,), port) is None
