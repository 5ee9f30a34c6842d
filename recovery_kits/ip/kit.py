"""A virtual IPv4 or IPv6 address on one network device, through ip(8).

Invariants: `remove` returns only when no device of this node holds the address; nothing here needs the
network; an address that somebody else put there (another device, another prefix length) is reported and
not adopted.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Annotated, Any

from msgspec import Meta

from agent.config.errors import BadParameter
from recovery_kits.contract import Check, CommandFailed, Finding, Kit
from recovery_kits.ip.announce import announce


@dataclass(frozen=True, kw_only=True)
class IpParameters:
    """The `ip` kit's parameters."""

    address: Annotated[
        IPv4Interface | IPv6Interface,
        Meta(
            description="The virtual address with its prefix length; /32 (IPv6: /128) unless the "
            "device should also get a route to the address's whole network."
        ),
    ]
    device: Annotated[
        str,
        Meta(
            description="The network device that holds the address while in service.",
            min_length=1,
            max_length=15,
            examples=["eth0"],
        ),
    ]
    announce: Annotated[
        bool,
        Meta(
            description="Tell the neighbours on the link that the address has moved (gratuitous ARP, "
            "unsolicited neighbour advertisement). Off: in a VPC it is the route that moves."
        ),
    ] = False

    def __post_init__(self) -> None:
        address = self.address.ip
        if address.is_multicast or address.is_loopback or address.is_unspecified:
            raise BadParameter("address", f"{address} can't be a virtual address")
        network = self.address.network
        ends = {network.network_address, network.broadcast_address}
        if isinstance(self.address, IPv4Interface) and network.prefixlen < 31 and address in ends:
            raise BadParameter("address", f"{address} is the first or the last of {network}: write a host's")


@dataclass(frozen=True)
class Link:
    """A network device as ip(8) tells of it."""

    mac: str
    up: bool


@dataclass(frozen=True)
class Holder:
    """One place where the address is on this node."""

    device: str
    prefix_length: int
    usable: bool  # False while an IPv6 address is tentative or a duplicate
    duplicate: bool

    def __str__(self) -> str:
        """`/24 on eth0`."""
        return f"/{self.prefix_length} on {self.device}"


@dataclass(frozen=True)
class View:
    """All links of this node, and where the address is."""

    links: dict[str, Link]
    holders: list[Holder]


class IpKit(Kit[IpParameters]):
    """An address, e.g. 10.1.0.10/32 on eth0."""

    kind = "ip"
    summary = "a virtual IPv4 or IPv6 address on a network device"
    Parameters = IpParameters

    async def restore(self) -> None:
        """Add the address; what is there already stays."""
        view = await self._look("restore")
        link = view.links.get(self.parameters.device)
        if link is None:
            raise self.error("restore", f"no such device {self.parameters.device}{_known(view)}")
        if not link.up:
            raise self.error("restore", f"{self.parameters.device} is down")
        if strangers := self._strangers(view):
            raise self.error("restore", self._stranger_text(strangers[0]))
        if any(holder.duplicate for holder in view.holders):  # adding without detection mends it
            await self._delete("restore", view.holders)
            view.holders.clear()
        if not view.holders:
            await self._add()
        if self.parameters.announce:
            self._announce(link)

    async def remove(self) -> None:
        """Drop the address; needs no network."""
        view = await self._look("remove")
        device = self.parameters.device
        await self._delete("remove", [one for one in view.holders if one.device == device])
        if elsewhere := [one for one in view.holders if one.device != device]:
            raise self.error("remove", self._stranger_text(elsewhere[0]))

    async def force_remove(self) -> None:
        """Drop the address from whatever device has it."""
        await self._delete("force-remove", (await self._look("force-remove")).holders)

    async def quick_check(self) -> Check:
        """The address is there and usable, the link is up."""
        try:
            view = await self._view()
        except (CommandFailed, OSError, ValueError) as problem:
            return Check.unknown(f"ip address show: {problem}")
        device, address = self.parameters.device, self.parameters.address
        if device not in view.links:
            return Check.failed(f"no such device {device}")
        if not view.links[device].up:
            return Check.failed(f"{device} is down")
        if strangers := self._strangers(view):
            return Check.failed(self._stranger_text(strangers[0]))
        if not view.holders:
            return Check.failed(f"{address} is not on {device}")
        if any(holder.duplicate for holder in view.holders):
            return Check.failed(f"{address.ip} is in use on another machine of this link")
        if not all(holder.usable for holder in view.holders):
            return Check.unknown(f"{address.ip} is still being checked for duplicates")
        return Check.ok()

    async def validate(self) -> list[Finding]:
        """ip(8), the device, and who else has the address."""
        if shutil.which("ip") is None:
            return [Finding("there is no ip(8)", "install iproute2")]
        view = await self._look("validate")
        device = self.parameters.device
        if device not in view.links:
            return [Finding(f"no such device {device}{_known(view)}", "set device for this node")]
        address = self.parameters.address.ip
        findings = [
            Finding(
                self._stranger_text(one), f"ip address del {address}/{one.prefix_length} dev {one.device}"
            )
            for one in self._strangers(view)
        ]
        if not view.links[device].up:
            findings.append(Finding(f"{device} is down", f"ip link set {device} up"))
        return findings

    async def _add(self) -> None:
        address, device = self.parameters.address, self.parameters.device
        nodad = ["nodad"] if isinstance(address, IPv6Interface) else []  # usable at once; see the page
        try:
            await self.tools.run("ip", "address", "add", str(address), "dev", device, *nodad)
        except (CommandFailed, OSError) as problem:
            raise self.error("restore", str(problem)) from problem

    async def _delete(self, action: str, holders: list[Holder]) -> None:
        for holder in holders:
            written = f"{self.parameters.address.ip}/{holder.prefix_length}"
            try:
                await self.tools.run("ip", "address", "del", written, "dev", holder.device)
            except (CommandFailed, OSError) as problem:
                if holder in (await self._look(action)).holders:  # else somebody else was quicker
                    raise self.error(action, str(problem)) from problem

    def _announce(self, link: Link) -> None:
        try:
            announce(self.parameters.device, link.mac, self.parameters.address.ip)
        except (OSError, ValueError) as problem:
            raise self.error(
                "restore", f"the address is there but can't be announced: {problem}"
            ) from problem

    def _strangers(self, view: View) -> list[Holder]:
        """Where the address is, but shouldn't be."""
        own = (self.parameters.device, self.parameters.address.network.prefixlen)
        return [one for one in view.holders if (one.device, one.prefix_length) != own]

    def _stranger_text(self, holder: Holder) -> str:
        address, device = self.parameters.address, self.parameters.device
        return f"{address.ip} is there as {holder}, not /{address.network.prefixlen} on {device}"

    async def _look(self, action: str) -> View:
        try:
            return await self._view()
        except (CommandFailed, OSError, ValueError) as problem:
            raise self.error(action, f"ip address show: {problem}") from problem

    async def _view(self) -> View:
        """Raises CommandFailed, OSError, or ValueError for an answer that isn't ip(8)'s."""
        shown = json.loads(await self.tools.run("ip", "-json", "address", "show"))
        ours = str(self.parameters.address.ip)
        if not isinstance(shown, list):
            raise ValueError("not a list")  # noqa: TRY004 (an answer is wrong, not our own code)
        try:
            links = {link["ifname"]: _link(link) for link in shown}
            holders = [
                _holder(link["ifname"], held)
                for link in shown
                for held in link["addr_info"]
                if held.get("local") == ours
            ]
        except (KeyError, TypeError) as problem:
            raise ValueError(f"an answer without {problem}") from problem
        return View(links, holders)


def _link(shown: dict[str, Any]) -> Link:
    """A device without a state of its own (loopback, some tunnels) says UNKNOWN: then its flag counts."""
    up = "UP" in shown["flags"] and shown["operstate"] in {"UP", "UNKNOWN"}
    return Link(shown.get("address", ""), up)


def _holder(device: str, held: dict[str, Any]) -> Holder:
    duplicate = held.get("dadfailed", False)
    return Holder(device, held["prefixlen"], not (duplicate or held.get("tentative", False)), duplicate)


def _known(view: View) -> str:
    return f"; there are {', '.join(sorted(view.links))}"
