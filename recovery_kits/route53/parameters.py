"""What the operator says about one record, and what this node puts into it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.errors import BadParameter
from recovery_kits.contract import CommandFailed, Tools

RecordType = Literal["A", "AAAA", "CNAME"]
VERSIONS = {"A": 4, "AAAA": 6}  # record type -> version of the address in it
HOSTNAME = r"^([a-z0-9_][a-z0-9_-]{0,62}\.)+[a-z0-9-]{1,63}\Z"
HostedZoneId = Annotated[str, Meta(pattern=r"^Z[A-Z0-9]{1,31}\Z", examples=["Z0123456789ABCDEFGHIJ"])]
Hostname = Annotated[
    str,
    Meta(
        title="a whole DNS name in small letters, without a dot at its end,",
        pattern=HOSTNAME,
        max_length=230,  # leaves room for the owner's label: names have at most 253 characters
        examples=["groupware.example.com"],
    ),
]
RoleArn = Annotated[
    str,
    Meta(
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+\Z",
        examples=["arn:aws:iam::123456789012:role/dns"],
    ),
]


@dataclass(frozen=True, kw_only=True)
class Route53Parameters:
    """[hierarchy.….resource.…] with kit = "route53"."""

    hosted_zone_id: Annotated[HostedZoneId, Meta(description="The id of the zone that holds the record.")]
    name: Annotated[Hostname, Meta(description="The name that clients resolve.")]
    record_type: Annotated[RecordType, Meta(description="What the name resolves to.")] = "A"
    value: Annotated[
        str | None,
        Meta(
            description="This node's address, or for a CNAME its name; else the address of `device`, "
            "or of the comm path of highest priority.",
            examples=["10.0.3.4"],
        ),
    ] = None
    device: Annotated[
        str | None, Meta(description="The device whose first address is the value.", min_length=1)
    ] = None
    ttl_ms: Annotated[
        int,
        Meta(description="How long resolvers keep the answer, in whole seconds.", ge=1_000, le=86_400_000),
    ] = 30_000
    adopt: Annotated[
        bool, Meta(description="Take over a record that no cluster owns; else it is left alone.")
    ] = False
    in_sync_within_ms: Annotated[
        int,
        Meta(
            description="How long a restore waits for all of Route 53's servers; the rest of it may take two "
            "minutes more, and all must be done within `limits.restore`.",
            ge=0,
            le=180_000,
        ),
    ] = 60_000
    role_arn: Annotated[
        RoleArn | None, Meta(description="A role to call as, where the zone is another account's.")
    ] = None

    def __post_init__(self) -> None:
        """Refuse a value that doesn't suit the type."""
        if self.ttl_ms % 1_000:
            raise BadParameter("ttl", "write whole seconds: DNS knows no smaller ones")
        if self.value is not None and self.device is not None:
            raise BadParameter("device", "write either `value` or `device`")
        if self.record_type == "CNAME" and self.value is None:
            raise BadParameter("value", "missing; a CNAME needs the name that it leads to, for each node")
        if self.value is not None and canonical(self.record_type, self.value) is None:
            wanted = (
                f"an IPv{VERSIONS[self.record_type]} address" if self.record_type in VERSIONS else "a name"
            )
            raise BadParameter("value", f"{self.value!r} isn't {wanted}, which {self.record_type} needs")

    @property
    def ttl_s(self) -> int:
        """As Route 53 counts it."""
        return self.ttl_ms // 1_000


def canonical(record_type: RecordType, value: str) -> str | None:
    """The one spelling of a record's value, to compare by; None if it is no such value."""
    if record_type == "CNAME":
        name = value.lower().rstrip(".")
        return name if name and not any(character.isspace() for character in name) else None
    try:
        address = ip_address(value)
    except ValueError:
        return None
    return str(address) if address.version == VERSIONS[record_type] else None


class NoValue(Exception):
    """This node has nothing to put into the record."""


async def own_value(parameters: Route53Parameters, tools: Tools) -> str:
    """What the record holds while this node owns it; raises NoValue."""
    kind = parameters.record_type
    if parameters.value is not None:
        value = canonical(kind, parameters.value)
        assert value is not None, parameters.value
        return value
    if parameters.device is None:
        source = f"{tools.node}'s comm paths have"
        found = [ip_address(each) for each in tools.site.nodes.get(tools.node, ())]
    else:
        source = f"device {parameters.device} has"
        found = await _device_addresses(parameters.device, tools)
    for address in found:
        if address.version == VERSIONS[kind]:
            return str(address)
    raise NoValue(f"{source} no IPv{VERSIONS[kind]} address")


async def _device_addresses(device: str, tools: Tools) -> list[IPv4Address | IPv6Address]:
    """The device's own addresses of global scope, as ip(8) lists them; raises NoValue."""
    try:
        links = json.loads(await tools.run("ip", "-json", "address", "show", "dev", device))
    except CommandFailed as error:
        raise NoValue(f"device {device}: {error}") from error
    passing = ("secondary", "temporary", "deprecated")
    return [
        ip_address(each["local"])
        for link in links
        for each in link.get("addr_info", ())
        if each.get("scope") == "global" and not any(each.get(flag) for flag in passing)
    ]
