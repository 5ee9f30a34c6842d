"""The reference cluster's account, where all is well, as the doctor sees it; and its configuration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from agent.config.load import parse
from agent.config.model import Config
from agent.doctor.cloud import Cloud, Group, Instance, Interface, Rule, Table
from agent.doctor.contract import Outcome, Verdict
from recovery_kits.registry import kits

ROUTE = """\
kit = "route"
destination = "10.1.0.10/32"
route_tables = ["rtb-0000000000000000a", "rtb-0000000000000000c"]
"""
MIRROR = 'kit = "mirror"\ndisk = "/dev/nvme1n1"\n'
TEXT = """\
[cluster]
name = "lab"
key_file = "/etc/kagemusha/cluster.key"
{settings}

[comm_path.eni-0]
priority = 1
db-01 = "10.0.3.4"
db-02 = "10.0.6.4"

[hierarchy.app]
nodes = ["db-01", "db-02"]

[hierarchy.app.resource.it]
{resource}
{tables}
"""
ALL = Rule(protocol="-1", first=None, last=None, networks=(ip_network("0.0.0.0/0"),), groups=(), lists=())


def config(resource: str = ROUTE, settings: str = 'quorum = "none"', tables: str = "") -> Config:
    """The configuration with one resource."""
    text = TEXT.format(resource=resource, settings=settings, tables=tables)
    return parse(text, Path("cluster.toml"), kits())


def rule(protocol: str, first: int | None, last: int | None, *networks: str, **more: Any) -> Rule:
    """One rule of a security group."""
    ranges = tuple(map(ip_network, networks))
    return Rule(
        protocol=protocol, first=first, last=last, networks=ranges, **{"groups": (), "lists": ()} | more
    )


def group(id_: str, incoming: Iterable[Rule] = (ALL,), outgoing: Iterable[Rule] = (ALL,)) -> dict[str, Group]:
    """One security group."""
    return {id_: Group(id=id_, incoming=tuple(incoming), outgoing=tuple(outgoing))}


def interface(number: int, address: str) -> Interface:
    """eth0 of a node."""
    return Interface(
        id=f"eni-{number}",
        addresses=frozenset({address}),
        vpc="vpc-1",
        subnet=f"subnet-{number}",
        groups=(f"sg-{number}",),
        checks_source=False,
        instance=f"i-{number}",
        index=0,
    )


def instance(number: int, zone: str) -> Instance:
    """A node."""
    return Instance(
        id=f"i-{number}",
        state="running",
        zone=zone,
        has_profile=True,
        metadata_endpoint="enabled",
        hop_limit=1,
    )


def table(letter: str, *subnets: str, **more: Any) -> Table:
    """A route table of clients."""
    usual: dict[str, Any] = {"main": False, "tags": {}, "destinations": frozenset()}
    return Table(id=f"rtb-0000000000000000{letter}", vpc="vpc-1", subnets=subnets, **usual | more)


GOOD = Cloud(
    me="i-1",
    interfaces={"10.0.3.4": interface(1, "10.0.3.4"), "10.0.6.4": interface(2, "10.0.6.4")},
    instances={"i-1": instance(1, "ap-northeast-1a"), "i-2": instance(2, "ap-northeast-1c")},
    groups=group("sg-1") | group("sg-2"),
    vpcs={"vpc-1": (ip_network("10.0.0.0/16"),)},
    tables={each.id: each for each in (table("a", "subnet-a"), table("c", "subnet-c"))},
    subnets={f"subnet-{name}": "vpc-1" for name in ("a", "c", "1", "2")},
)


def with_interface(node: int, **changes: Any) -> Cloud:
    """The same, but for one ENI."""
    assert isinstance(GOOD.interfaces, dict)
    interfaces = {
        address: replace(each, **changes) if each.id == f"eni-{node}" else each
        for address, each in GOOD.interfaces.items()
    }
    return replace(GOOD, interfaces=interfaces)


def with_instance(node: int, **changes: Any) -> Cloud:
    """The same, but for one machine."""
    assert isinstance(GOOD.instances, dict)
    name = f"i-{node}"
    return replace(GOOD, instances=GOOD.instances | {name: replace(GOOD.instances[name], **changes)})


def problems(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those that aren't OK."""
    return [each for each in verdicts if each.outcome is not Outcome.OK]
