"""The cluster and its comm paths: who the nodes are, and how they reach each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.config.lines import Where
from agent.config.model import Address, PathAddresses
from agent.config.reader import Table, parameters_of, read_known, read_one, refuse_unknown, subtables
from agent.config.tables import ClusterTable, Name, PathTable
from agent.config.values import Problems, convert, did_you_mean, show
from agent.core.ids import NodeId, PathId


@dataclass(frozen=True)
class PathDraft:
    """A comm path as far as it could be read; kept to compare it with the others."""

    name: str
    settings: PathTable | None
    priority: int | None
    addresses: Mapping[str, Address | None]  # None: there is one, but it was refused

    def where(self, *keys: str) -> Where:
        """Where a key of this path stands."""
        return ("comm_path", self.name, *keys)


def read_paths(document: Table, problems: Problems) -> list[PathDraft]:
    """Every [comm_path.NAME], checked one by one and against each other."""
    tables = subtables(document, "comm_path", "NAME", (), problems)
    if "comm_path" not in document:
        problems.add(
            (),
            "comm paths are missing; write a table [comm_path.NAME] with a priority and each node's address "
            "for every network that joins the nodes",
        )
    drafts = [_read_path(name, table, problems) for name, table in tables.items()]
    nodes = nodes_of(drafts)
    for node in nodes:
        first = next(draft for draft in drafts if node in draft.addresses)
        convert(Name, node, first.where(node), problems)
    if drafts and len(nodes) < 2:
        problems.add(
            ("comm_path",), "a cluster has at least two nodes: give the address of each on every comm path"
        )
    for draft in drafts:
        _check_nodes(draft, nodes, drafts, problems)
        _check_families(draft, problems)
    _check_priorities(drafts, problems)
    _check_addresses(drafts, problems)
    return drafts


def nodes_of(drafts: list[PathDraft]) -> list[NodeId]:
    """Every node that any comm path names, in the order of the file."""
    return list(dict.fromkeys(NodeId(node) for draft in drafts for node in draft.addresses))


def finish_paths(drafts: list[PathDraft], cluster: ClusterTable) -> tuple[PathAddresses, ...]:
    """The comm paths by priority, once nothing is wrong with any."""
    return tuple(sorted((_finish(draft, cluster) for draft in drafts), key=lambda path: path.priority))


def notes(paths: tuple[PathAddresses, ...]) -> Iterator[str]:
    """What is allowed but not wise, one sentence each."""
    if len(paths) == 1:
        yield (
            f"{paths[0].name} is the only comm path: a fault of that one network looks like a lost node; "
            "add a second comm path."
        )


def _read_path(name: str, table: Table, problems: Problems) -> PathDraft:
    where: Where = ("comm_path", name)
    convert(Name, name, where, problems)
    known = parameters_of(PathTable)
    settings = read_known(PathTable, table, lambda key: (*where, key), problems)
    addresses: dict[str, Address | None] = {}
    for node, value in table.items():
        if node in known:
            continue
        if not isinstance(value, str) and did_you_mean(node, known):
            refuse_unknown([node], known, where, problems)
            continue
        address = convert(Address, value, (*where, node), problems)
        if address is not None and (address.is_unspecified or address.is_multicast):
            problems.add((*where, node), f"write the node's own address, not {show(value)}")
            address = None
        addresses[node] = address
    priority = read_one(PathTable, "priority", table, where, problems)
    return PathDraft(name, settings, priority, addresses)


def _check_nodes(draft: PathDraft, nodes: list[NodeId], drafts: list[PathDraft], problems: Problems) -> None:
    for node in nodes:
        if node in draft.addresses:
            continue
        other = next(each.name for each in drafts if node in each.addresses)
        problems.add(
            draft.where(node),
            f"missing; comm path {show(other)} names this node, and every comm path must name every node",
        )


def _check_families(draft: PathDraft, problems: Problems) -> None:
    known = [(node, address) for node, address in draft.addresses.items() if address is not None]
    for node, address in known[1:]:
        if address.version != known[0][1].version:
            problems.add(
                draft.where(node),
                f"{address} is IPv{address.version} and {show(known[0][0])} has IPv{known[0][1].version}: "
                "on one comm path all addresses are of one kind",
            )


def _check_priorities(drafts: list[PathDraft], problems: Problems) -> None:
    taken: dict[int, PathDraft] = {}
    for draft in drafts:
        if draft.priority is None:
            continue
        other = taken.setdefault(draft.priority, draft)
        if other is not draft:
            problems.add(
                draft.where("priority"),
                f"comm path {show(other.name)} has priority {draft.priority} too: give each its own",
            )


def _check_addresses(drafts: list[PathDraft], problems: Problems) -> None:
    taken: dict[Address, tuple[str, str]] = {}
    for draft in drafts:
        for node, address in draft.addresses.items():
            if address is None:
                continue
            other_path, other_node = taken.setdefault(address, (draft.name, node))
            if (other_path, other_node) != (draft.name, node):
                problems.add(
                    draft.where(node),
                    f"{address} is already {show(other_node)}'s on comm path {show(other_path)}: "
                    "each node has an address of its own on each network",
                )


def _finish(draft: PathDraft, cluster: ClusterTable) -> PathAddresses:
    assert draft.settings is not None, draft.name
    return PathAddresses(
        name=PathId(draft.name),
        priority=draft.settings.priority,
        port=draft.settings.port or cluster.port,
        addresses={NodeId(node): address for node, address in draft.addresses.items() if address is not None},
    )
