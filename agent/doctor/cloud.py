"""What an account says of the nodes' surroundings, reduced to what is decided by.

Each of the answers may be missing by itself (`Untold`); the others stand all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from agent.config.model import Address
from agent.doctor.contract import Untold, told

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, kw_only=True)
class Interface:
    """An ENI that has an address of a comm path."""

    id: str
    addresses: frozenset[str]
    vpc: str
    subnet: str
    groups: tuple[str, ...]
    checks_source: bool  # its source/dest check is on
    instance: str | None
    index: int | None  # eth0 is 0


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A node's machine."""

    id: str
    state: str
    zone: str
    has_profile: bool
    metadata_endpoint: str | None  # "enabled"; None: not told
    hop_limit: int | None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of a security group. `first` and `last` are ports; None: all."""

    protocol: str  # "tcp", "udp", "-1": all
    first: int | None
    last: int | None
    networks: tuple[Network, ...]
    groups: tuple[str, ...]
    lists: tuple[str, ...]  # prefix lists, which aren't looked into


@dataclass(frozen=True, kw_only=True)
class Group:
    """A security group."""

    id: str
    incoming: tuple[Rule, ...]
    outgoing: tuple[Rule, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A route table and the subnets that are associated with it."""

    id: str
    vpc: str
    subnets: tuple[str, ...]
    main: bool  # of those that are associated with none
    tags: Mapping[str, str]
    destinations: frozenset[str]  # what it has a route to, as AWS writes it


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """The account as far as it told."""

    me: str | Untold  # this machine's instance id
    interfaces: Mapping[str, Interface] | Untold  # by each of their addresses
    instances: Mapping[str, Instance] | Untold
    groups: Mapping[str, Group] | Untold
    vpcs: Mapping[str, tuple[Network, ...]] | Untold
    tables: Mapping[str, Table] | Untold
    subnets: Mapping[str, str] | Untold  # of the nodes' VPCs: id -> VPC id

    def interface(self, address: Address) -> Interface:
        """The ENI that has an address; raises Untold."""
        found = told(self.interfaces).get(str(address))
        if found is None:
            raise Untold(f"no ENI of this account has the address {address}", "see the check `addresses`")
        return found

    def instance_of(self, address: Address) -> Instance:
        """The machine that an address leads to; raises Untold."""
        interface = self.interface(address)
        found = told(self.instances).get(interface.instance or "")
        if found is None:
            raise Untold(f"{interface.id} is attached to no instance", "see the check `addresses`")
        return found
