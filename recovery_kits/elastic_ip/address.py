"""An Elastic IP as EC2 describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any


@dataclass(frozen=True)
class Address:
    """One Elastic IP, and where it leads."""

    public: str
    allocation: str
    domain: str  # "vpc", unless it is older than VPCs
    interface: str  # "": it is associated with nothing
    private: str  # the address of that ENI to which it is translated

    def why_not(self, interface: str, private: IPv4Address | None) -> str | None:
        """What is wrong unless it leads to `interface`, and there to `private` if that is named."""
        if not self.interface:
            return f"{self.public} is associated with nothing"
        if self.interface != interface:
            return f"{self.public} is on {self.interface}"
        if private and self.private != str(private):
            return f"{self.public} is on {self.private} of {self.interface}, not on {private}"
        return None


def read_address(described: Mapping[str, Any]) -> Address:
    """One of the addresses of a DescribeAddresses answer."""
    return Address(
        public=described["PublicIp"],
        allocation=described.get("AllocationId", ""),
        domain=described.get("Domain", ""),
        interface=described.get("NetworkInterfaceId", ""),
        private=described.get("PrivateIpAddress", ""),
    )
