"""A small AWS for what the test server doesn't do: an address that moves late, a device's ENI, no IMDS.

Faithful in this: the move is accepted at once and shows after some looks, at neither ENI meanwhile
(EC2 API reference, AssignPrivateIpAddresses: "Remapping an IP address is an asynchronous operation").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Authority


@dataclass
class Devices:
    """An identity in which devices have ENIs without there being any such device."""

    interfaces: dict[str, str]  # device -> ENI
    instance_id: str = "i-0123456789abcdef0"
    region: str = "ap-northeast-1"
    availability_zone: str = "ap-northeast-1a"

    def interface(self, device: str) -> str:
        """As a Machine's."""
        if device in self.interfaces:
            return self.interfaces[device]
        raise AwsError(
            AwsFault.NOT_FOUND, "instance metadata", "NoSuchDevice", f"there is no device {device}"
        )


@dataclass
class SlowAws:
    """`Aws` for one address; it is at `holder`, after a move once it was looked for often enough."""

    holder: str
    looks_until_moved: int = 0
    known: Devices = field(default_factory=lambda: Devices({}))  # as IMDS was read
    fresh: Devices | None = None  # as IMDS says by now; None: it doesn't answer
    calls: list[str] = field(default_factory=list)
    _taker: str = ""
    _looks: int = 0

    async def ec2(
        self,
        operation: str,
        *,
        authority: Authority | None = None,
        role: str | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        """Assign the address, or tell where it is."""
        assert role is None
        self.calls.append(operation)
        if operation == "assign_private_ip_addresses":
            assert authority is not None
            assert parameters["AllowReassignment"]
            self._taker, self._looks = parameters["NetworkInterfaceId"], 0
            return {}
        assert operation == "describe_network_interfaces"
        self._looks += 1
        if self._taker and self._looks > self.looks_until_moved:
            self.holder, self._taker = self._taker, ""
        shown = [] if self._taker else [{"NetworkInterfaceId": self.holder, "VpcId": "vpc-0"}]
        return {"NetworkInterfaces": shown}

    async def call(self, service: Any, operation: str, **parameters: Any) -> dict[str, Any]:
        """The kit needs no other service."""
        raise AssertionError((service, operation, parameters))

    async def identity(self) -> Devices:
        """As it was read."""
        return self.known

    async def refresh_identity(self) -> Devices:
        """Read anew."""
        if self.fresh is None:
            raise AwsError(AwsFault.NETWORK, "instance metadata", "TimedOut", "no answer")
        self.known = self.fresh
        return self.known
