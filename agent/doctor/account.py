"""Checks of the account's side: pure, from a `Cloud` to verdicts. Each may raise Untold."""

from __future__ import annotations

from collections.abc import Iterator

from agent.config.model import Address, Config
from agent.core.ids import NodeId
from agent.doctor.cloud import Cloud, Interface, Table
from agent.doctor.contract import Untold, Verdict, ok, problem, told, unknown
from recovery_kits.route import RouteParameters
from recovery_kits.route.tables import PrefixListId

_WHICH = "correct the comm path's address; `aws ec2 describe-network-interfaces` lists what there is"


def addresses(config: Config, cloud: Cloud, node: NodeId) -> Iterator[Verdict]:
    """Every address of a comm path is an ENI's of one running machine; this node's are this machine's."""
    found = told(cloud.interfaces)
    for name in config.cluster.nodes:
        own = _addresses_of(config, name)
        missing = [str(each) for each in own if str(each) not in found]
        if missing:
            yield problem(f"{name}: no ENI of this account has {', '.join(missing)}", _WHICH)
            continue
        machines = {found[str(each)].instance for each in own}
        if machines == {None} or len(machines) > 1:
            names = ", ".join(sorted(each or "no instance" for each in machines))
            yield problem(f"{name}: its addresses lead to {names}", "attach all of its ENIs to one instance")
        elif name == node and told(cloud.me) not in machines:
            yield problem(
                f"{name} is {', '.join(map(str, machines))}, and this machine is {told(cloud.me)}",
                "run this on the node that --node names, or correct the addresses",
            )
        else:
            yield _running(cloud, name, own[0])


def _running(cloud: Cloud, name: NodeId, address: Address) -> Verdict:
    machine = cloud.instance_of(address)
    if machine.state == "running":
        return ok(f"{name} is {machine.id} in {machine.zone}")
    return problem(
        f"{name}: {machine.id} is {machine.state}", f"aws ec2 start-instances --instance-ids {machine.id}"
    )


def zones(config: Config, cloud: Cloud) -> Iterator[Verdict]:
    """The nodes of each hierarchy aren't all in one availability zone."""
    for hierarchy in config.cluster.hierarchies:
        where = {cloud.instance_of(_addresses_of(config, node)[0]).zone for node in hierarchy.nodes}
        if len(where) > 1 or len(hierarchy.nodes) == 1:
            yield ok(f"{hierarchy.name} may run in {', '.join(sorted(where))}")
        else:
            yield problem(
                f"all nodes of {hierarchy.name} are in {where.pop()}: the loss of that zone stops it",
                "launch one of the nodes in a subnet of another availability zone",
            )


def metadata(config: Config, cloud: Cloud, *, in_container: bool) -> Iterator[Verdict]:
    """IMDS answers the agent: its answers to a container travel one hop more."""
    needed = 2 if in_container else 1
    for name in config.cluster.nodes:
        machine = cloud.instance_of(_addresses_of(config, name)[0])
        options = (
            f"aws ec2 modify-instance-metadata-options --instance-id {machine.id} --http-tokens required "
        )
        if machine.metadata_endpoint is None or machine.hop_limit is None:
            yield unknown(f"{name}: DescribeInstances doesn't tell of {machine.id}'s metadata options")
        elif machine.metadata_endpoint != "enabled":
            yield problem(f"{name}: IMDS is off on {machine.id}", options + "--http-endpoint enabled")
        elif machine.hop_limit < needed:
            text = (
                f"{name}: IMDS's hop limit is {machine.hop_limit}, and an agent in a container needs {needed}"
            )
            yield problem(text, options + f"--http-put-response-hop-limit {needed}")
        else:
            yield ok(f"{name}: IMDS is on, hop limit {machine.hop_limit}")


def profiles(config: Config, cloud: Cloud) -> Iterator[Verdict]:
    """Every node has a role, which is where its credentials come from."""
    for name in config.cluster.nodes:
        machine = cloud.instance_of(_addresses_of(config, name)[0])
        if machine.has_profile:
            yield ok(f"{name}: {machine.id} has an instance profile")
        else:
            yield problem(
                f"{name}: {machine.id} has no instance profile, so the agent has no credentials there",
                "make a role with `kage iam-policy`, then: aws ec2 associate-iam-instance-profile "
                f"--instance-id {machine.id} --iam-instance-profile Name=…",
            )


def source_checks(config: Config, cloud: Cloud) -> Iterator[Verdict]:
    """Whatever routes lead to takes packets for other addresses than its own, on every node."""
    for tag, node, parameters in _routes(config):
        try:
            interface = _target(config, cloud, node, parameters)
        except Untold as gap:
            yield unknown(f"{tag} on {node}: {gap.why}", gap.step)
            continue
        if interface.checks_source:
            yield problem(
                f"{tag} on {node}: the source/dest check of {interface.id} is on, so it drops the packets",
                f"aws ec2 modify-network-interface-attribute --network-interface-id {interface.id} "
                "--no-source-dest-check",
            )
        else:
            yield ok(f"{tag} on {node}: the source/dest check of {interface.id} is off")


def virtual_addresses(config: Config, cloud: Cloud) -> Iterator[Verdict]:
    """What routes lead to is outside the VPC's range: inside it the VPC's own `local` route counts."""
    ranges = told(cloud.vpcs)
    for destination in dict.fromkeys(parameters.destination for _, _, parameters in _routes(config)):
        if isinstance(destination, PrefixListId):
            yield unknown(f"{destination} is a prefix list, which isn't looked into")
            continue
        inside = [
            f"{range_} of {vpc}"
            for vpc, held in ranges.items()
            for range_ in held
            if range_.overlaps(destination)
        ]
        if inside:
            yield problem(
                f"{destination} is within {', '.join(inside)}",
                "choose an address outside the VPC's ranges",
            )
        else:
            yield ok(f"{destination} is outside the VPC's ranges")


def client_routes(config: Config, cloud: Cloud) -> Iterator[Verdict]:
    """Every configured route table serves a subnet; which subnets none of them serves is said."""
    tables, subnets = told(cloud.tables), told(cloud.subnets)
    served: set[str] = set()
    routes = [parameters for _, _, parameters in _routes(config)]
    meant = [table for table in tables.values() if any(_means(each, table) for each in routes)]
    explicit = {subnet for table in tables.values() for subnet in table.subnets}
    for table in meant:  # one that is named and isn't there is `check`'s finding
        rest = {each for each, vpc in subnets.items() if vpc == table.vpc} - explicit if table.main else set()
        if own := {*table.subnets, *rest}:
            served |= own
        else:
            yield problem(
                f"no subnet is associated with {table.id}: its route serves nobody",
                f"aws ec2 associate-route-table --route-table-id {table.id} --subnet-id subnet-…",
            )
    if served:
        left = ", ".join(sorted(subnets.keys() - served)) or "no subnet"
        yield ok(f"clients in {', '.join(sorted(served))} reach it; those in {left} don't")


def _routes(config: Config) -> Iterator[tuple[str, NodeId, RouteParameters]]:
    for tag, setup in config.resources.items():
        for node, parameters in setup.parameters.items():
            if isinstance(parameters, RouteParameters):
                yield tag, node, parameters


def _means(parameters: RouteParameters, table: Table) -> bool:
    """Whether the parameters name the table, or the kit would find it."""
    if parameters.tag:
        key, value = parameters.tag
        return table.tags.get(key) == value
    if parameters.route_tables_by:
        return str(parameters.destination) in table.destinations
    return table.id in parameters.route_tables


def _target(config: Config, cloud: Cloud, node: NodeId, parameters: RouteParameters) -> Interface:
    """The ENI that the node's routes lead to, as far as it has a comm path; raises Untold."""
    own = [cloud.interface(each) for each in _addresses_of(config, node)]
    for each in own:
        if each.id == parameters.interface or (
            parameters.interface is None and parameters.device == f"eth{each.index}"
        ):
            return each
    wanted = parameters.interface or parameters.device
    raise Untold(f"{wanted} carries no comm path, so only {node} itself can tell", f"kage doctor on {node}")


def _addresses_of(config: Config, node: NodeId) -> list[Address]:
    return [path.addresses[node] for path in config.paths]
