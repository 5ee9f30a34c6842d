"""Whether security groups let the nodes' own traffic through: pure, from rules to a yes, a no, or neither.

Source: the VPC user guide, "Security group rules": rules only allow, those of all groups of an ENI add up,
and a rule that names a group means the private addresses of the ENIs that have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.config.model import Address, Config
from agent.core.ids import NodeId
from agent.doctor.cloud import Cloud, Group, Interface, Rule
from agent.doctor.contract import Verdict, ok, problem, told, unknown
from recovery_kits.mirror.parameters import MirrorParameters

_NUMBERS = {"tcp": "6", "udp": "17"}


@dataclass(frozen=True, kw_only=True)
class Need:
    """What one node sends to a port of another."""

    what: str  # "heartbeats"
    path: str  # the comm path's name
    protocol: str
    port: int
    sender: NodeId
    receiver: NodeId
    source: Address
    target: Address


def needs(config: Config) -> Iterator[Need]:
    """All traffic between the nodes, each way by itself."""
    mirrors = dict(_mirrors(config))
    for path in config.paths:
        ports = [("heartbeats", "udp", path.port), ("messages", "tcp", path.port)]
        for sender, source in path.addresses.items():
            for receiver, target in path.addresses.items():
                if sender == receiver:
                    continue
                copied = [
                    (f"mirror {tag}", "tcp", port)
                    for tag, (port, nodes) in mirrors.items()
                    if {sender, receiver} <= nodes
                ]
                for what, protocol, port in ports + copied:
                    yield Need(
                        what=what,
                        path=path.name,
                        protocol=protocol,
                        port=port,
                        sender=sender,
                        receiver=receiver,
                        source=source,
                        target=target,
                    )


def _mirrors(config: Config) -> Iterator[tuple[str, tuple[int, set[NodeId]]]]:
    for tag, setup in config.resources.items():
        for parameters in setup.parameters.values():
            if isinstance(parameters, MirrorParameters):
                yield tag, (parameters.port, set(setup.parameters))


def security_groups(config: Config, cloud: Cloud) -> Iterator[Verdict]:
    """One verdict for each way that is closed or can't be told, and one for all that are open."""
    groups, open_ways = told(cloud.groups), 0
    for need in needs(config):
        sender, receiver = cloud.interface(need.source), cloud.interface(need.target)
        closed = list(_closed(need, sender, receiver, groups))
        open_ways += not closed
        yield from closed
    if open_ways:
        yield ok(f"{open_ways} ways between the nodes are open: heartbeats, messages, mirrors")


def _closed(
    need: Need, sender: Interface, receiver: Interface, groups: Mapping[str, Group]
) -> Iterator[Verdict]:
    """What is in the way on either side."""
    out = [rule for each in sender.groups if each in groups for rule in groups[each].outgoing]
    into = [rule for each in receiver.groups if each in groups for rule in groups[each].incoming]
    port = f"{need.protocol.upper()} {need.port}"
    what = f"{need.what} ({port}) from {need.sender} to {need.receiver} on {need.path}"
    for way, direction, own, other, address, rules in (
        ("out of", "egress", sender, receiver, need.target, out),
        ("into", "ingress", receiver, sender, need.source, into),
    ):
        allowed = _allowed(need, other, address, rules)
        if allowed is None:
            text = f"{what}: a prefix list may let them {way} {own.id}"
            yield unknown(text, f"look into the prefix lists of {', '.join(own.groups)}")
        elif not allowed:
            text = f"{what}: no security group lets them {way} {own.id}"
            yield problem(text, _remedy(need, direction, own, address))


def _allowed(need: Need, other: Interface, address: Address, rules: list[Rule]) -> bool | None:
    """Whether any rule allows it; None: it depends on a prefix list."""
    fitting = [rule for rule in rules if _fits(rule, need)]
    if any(set(rule.groups) & set(other.groups) for rule in fitting):
        return True
    if any(address in network for rule in fitting for network in rule.networks):  # of its own version alone
        return True
    return None if any(rule.lists for rule in fitting) else False


def _fits(rule: Rule, need: Need) -> bool:
    if rule.protocol == "-1":
        return True
    if rule.protocol not in (need.protocol, _NUMBERS[need.protocol]):
        return False
    first, last = rule.first, rule.last
    return first is None or last is None or first == -1 or first <= need.port <= last


def _remedy(need: Need, direction: str, own: Interface, address: Address) -> str:
    ranges = (
        f"IpRanges=[{{CidrIp={address}/32}}]"
        if address.version == 4
        else f"Ipv6Ranges=[{{CidrIpv6={address}/128}}]"
    )
    group = own.groups[0] if own.groups else "sg-…"
    return (
        f"aws ec2 authorize-security-group-{direction} --group-id {group} --ip-permissions "
        f"'IpProtocol={need.protocol},FromPort={need.port},ToPort={need.port},{ranges}'"
    )
