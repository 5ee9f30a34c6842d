"""The table of checks, and the run that looks once and lets each of them decide.

A check that misses a fact is UNKNOWN and says why; it never ends the others, and nothing is changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

from agent.aws import AwsSession
from agent.config.fencing import Ec2Level
from agent.config.model import Config
from agent.core.ids import NodeId
from agent.doctor import account, host, limits, networks
from agent.doctor.cloud import Cloud
from agent.doctor.contract import Untold, Verdict, told, unknown
from agent.doctor.describing import describe
from agent.doctor.host import Host, read_host
from recovery_kits.registry import kits

WITHIN_S = 20.0  # each: looking at the host, asking AWS


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the checks decide by."""

    config: Config
    node: NodeId  # this machine
    host: Host | Untold
    cloud: Cloud | Untold


Decide = Callable[[Facts], Iterable[Verdict]]


@dataclass(frozen=True)
class Check:
    """One thing that must be so."""

    name: str
    group: str  # "host" | "time limits" | "account"
    summary: str  # what must be so, for the documentation
    decide: Decide


def _on_host(decide: Callable[[Host], Iterable[Verdict]]) -> Decide:
    return lambda facts: decide(told(facts.host))


def _on_limits(decide: Callable[[Config], Iterable[Verdict]]) -> Decide:
    return lambda facts: decide(facts.config)


def _on_account(decide: Callable[[Config, Cloud], Iterable[Verdict]]) -> Decide:
    return lambda facts: decide(facts.config, told(facts.cloud))


def _addresses(facts: Facts) -> Iterable[Verdict]:
    return account.addresses(facts.config, told(facts.cloud), facts.node)


def _metadata(facts: Facts) -> Iterable[Verdict]:
    in_container = told(facts.host).in_container
    return account.metadata(facts.config, told(facts.cloud), in_container=in_container)


def _watchdog(facts: Facts) -> Iterable[Verdict]:
    return host.watchdog(facts.config, told(facts.host))


ACCOUNT = "account"
CHECKS = (
    Check("clock", "host", "the clock is synchronised (chrony, NTP)", _on_host(host.clock)),
    Check(
        "configuration-file",
        "host",
        "only root can change cluster.toml, which names scripts that run as root",
        _on_host(host.configuration_file),
    ),
    Check("last-means", "host", "this node can reboot itself at once", _on_host(host.last_means)),
    Check("watchdog", "host", "the watchdog is there at every boot, and systemd doesn't use it", _watchdog),
    Check(
        "aws-limits",
        "time limits",
        "no action's limit is shorter than its calls to AWS and what it waits for",
        _on_limits(limits.aws_limits),
    ),
    Check(
        "recovery-windows",
        "time limits",
        "repeated failures fit into recovery_window",
        _on_limits(limits.recovery_windows),
    ),
    Check(
        "cold-starts",
        "time limits",
        'with quorum = "none", startup_grace isn\'t shorter than dead_after',
        _on_limits(limits.cold_starts),
    ),
    Check(
        "addresses", ACCOUNT, "every comm path's address is an ENI's of the node's one instance", _addresses
    ),
    Check(
        "zones", ACCOUNT, "a hierarchy's nodes are in several availability zones", _on_account(account.zones)
    ),
    Check("metadata", ACCOUNT, "IMDS is on, its hop limit reaches the agent", _metadata),
    Check("profiles", ACCOUNT, "every node has an instance profile", _on_account(account.profiles)),
    Check(
        "security-groups",
        ACCOUNT,
        "heartbeats, messages and mirrors get through, out of each node and into each",
        _on_account(networks.security_groups),
    ),
    Check(
        "source-checks",
        ACCOUNT,
        "the source/dest check is off where routes lead, on every node",
        _on_account(account.source_checks),
    ),
    Check(
        "virtual-addresses",
        ACCOUNT,
        "what routes lead to is outside the VPC's ranges",
        _on_account(account.virtual_addresses),
    ),
    Check(
        "client-routes",
        ACCOUNT,
        "every configured route table serves a subnet",
        _on_account(account.client_routes),
    ),
)


async def examine(config: Config, node: NodeId) -> list[tuple[Check, Verdict]]:
    """Look, and decide: all verdicts in the order of the table. `node` is this machine."""
    wanted = [check for check in CHECKS if check.group != ACCOUNT or calls_aws(config)]
    host_facts, cloud_facts = await asyncio.gather(_host(config), _cloud(config))
    facts = Facts(config=config, node=node, host=host_facts, cloud=cloud_facts)
    return [(check, verdict) for check in wanted for verdict in decide(check, facts)]


def decide(check: Check, facts: Facts) -> list[Verdict]:
    """What one check says; UNKNOWN with the reason where a fact is missing."""
    verdicts: list[Verdict] = []
    try:
        verdicts.extend(check.decide(facts))
    except Untold as gap:
        verdicts.append(unknown(gap.why, gap.step))
    return verdicts


def calls_aws(config: Config) -> bool:
    """Whether any kit, the arbiter or fencing does; else the account isn't asked about."""
    return (
        config.arbiter is not None
        or any(isinstance(level, Ec2Level) for level in config.fencing_levels)
        or any(kits()[setup.kit].aws_services for setup in config.resources.values())
    )


async def _host(config: Config) -> Host | Untold:
    try:
        async with asyncio.timeout(WITHIN_S):
            return await asyncio.to_thread(read_host, config)
    except TimeoutError:
        return Untold(f"this machine's files could not be read within {WITHIN_S:g} s", "see what hangs")


async def _cloud(config: Config) -> Cloud | Untold:
    if not calls_aws(config):
        return Untold("nothing of this configuration calls AWS")
    aws = config.aws
    session = AwsSession(
        aws.region, connect_timeout_ms=aws.connect_timeout_ms, read_timeout_ms=aws.read_timeout_ms
    )
    addresses = [address for path in config.paths for address in path.addresses.values()]
    with closing(session):
        try:
            async with asyncio.timeout(WITHIN_S):
                return await describe(session, addresses)
        except TimeoutError:
            return Untold(f"AWS didn't answer within {WITHIN_S:g} s", "try again when it does")
