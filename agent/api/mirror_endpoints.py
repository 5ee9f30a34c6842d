"""What may be asked of replicated data over HTTP, and the body that each request takes.

Keeps: nothing is asked of a kit or of the core for a name that doesn't exist, nor with a body that isn't
wholly understood; a copy that counts is never made blank, and none is forced without naming what is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from agent.api.answers import Refused, decode, read_body, to_answer, to_json
from agent.api.contract import AgentFacade
from agent.api.lookup import hierarchy_of_resource
from agent.api.mirror_asking import all_mirrors
from agent.api.reports import AnswerReport, HierarchyView
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.messages import AskKit, Command, TrustReplica


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _OneNode(msgspec.Struct, forbid_unknown_fields=True):
    node: str


class _Throttle(msgspec.Struct, forbid_unknown_fields=True):
    bytes_per_s: Annotated[int, Meta(ge=0, le=2**53)]  # 0: no limit


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    node: str
    mkfs: Literal["xfs", "ext4"] | None = None
    overwrite: bool = False  # what the disk holds is of no use


class _Force(msgspec.Struct, forbid_unknown_fields=True):
    node: str
    lose_writes_of: list[str]  # exactly the nodes whose copies count


class _Mirror(NamedTuple):
    """One replicated resource, and where it is."""

    tag: str
    hierarchy: HierarchyView

    def kit_on(self, node: str | None, verb: str, /, **arguments: str) -> AskKit:
        """A question to its kit; on node None: where it is in service."""
        return AskKit(
            hierarchy=HierarchyId(self.hierarchy.name),
            tag=Tag(self.tag),
            node=None if node is None else NodeId(node),
            verb=verb,
            arguments=tuple(arguments.items()),
        )


class MirrorEndpoints:
    """One method for each route."""

    def __init__(self, agent: AgentFacade) -> None:
        self._agent = agent

    async def all(self, _request: Request) -> Response:
        """Every mirror."""
        return to_json(await all_mirrors(self._agent))

    async def one(self, request: Request) -> Response:
        """The mirror of that tag."""
        (report,) = await all_mirrors(self._agent, self._mirror(request).tag)
        return to_json(report)

    async def ask(self, request: Request) -> Response:
        """Do what an operator wants."""
        verb: str = request.path_params["verb"]
        if verb not in _VERBS:
            raise Refused(404, f'a mirror knows no "{verb[:40]}"', f"it knows {', '.join(_VERBS)}")
        body, mirror = await read_body(request), self._mirror(request)
        wanted = _VERBS[verb](mirror, verb, body)
        if isinstance(wanted, str):
            return to_answer(AnswerReport(accepted=False, text=wanted))
        return to_answer(await self._agent.command(wanted))

    def _mirror(self, request: Request) -> _Mirror:
        status, tag = self._agent.status(), request.path_params["tag"]
        hierarchy = hierarchy_of_resource(status, tag)
        if hierarchy is None or not any(each.tag == tag and each.replicated for each in hierarchy.resources):
            there = [each.tag for view in status.hierarchies for each in view.resources if each.replicated]
            raise Refused(404, f'no mirror has the tag "{tag}"', f"there is {', '.join(there) or 'none'}")
        return _Mirror(tag, hierarchy)


Wanted = Command | str  # what the agent is asked, or why it isn't


def _of_a_node(mirror: _Mirror, verb: str, body: bytes) -> Wanted:
    """Something that the source does about one target."""
    node = _node(mirror, decode(body, _OneNode, 'send {"node": "NAME"}').node)
    return _of_source(mirror, verb, node=node)


def _whole_mirror(mirror: _Mirror, verb: str, body: bytes) -> Wanted:
    decode(body, _Nothing, "send nothing")
    return _of_source(mirror, verb)


def _throttle(mirror: _Mirror, verb: str, body: bytes) -> Wanted:
    limit = decode(body, _Throttle, 'send {"bytes_per_s": 50000000}; 0: no limit').bytes_per_s
    return _of_source(mirror, verb, bytes_per_s=str(limit))


def _of_source(mirror: _Mirror, verb: str, /, **arguments: str) -> Wanted:
    name = mirror.hierarchy.name
    if mirror.hierarchy.owner is None:
        return f"{name} is in service nowhere, so nothing is mirrored; first: kage in-service {name}"
    return mirror.kit_on(None, verb, **arguments)


def _wipe(mirror: _Mirror, verb: str, body: bytes) -> Wanted:
    node = _node(mirror, decode(body, _OneNode, 'send {"node": "NAME"}').node)
    if node in mirror.hierarchy.in_sync:
        pause = f"kage mirror pause {mirror.tag} {node}"
        return (
            f"the copy of {node} holds every acknowledged write and counts; where another does, too: {pause}"
        )
    return mirror.kit_on(node, verb)


def _create(mirror: _Mirror, verb: str, body: bytes) -> Wanted:
    wanted = decode(body, _Create, 'send {"node": "NAME", "mkfs": "xfs", "overwrite": false}')
    node, counts = _node(mirror, wanted.node), mirror.hierarchy.in_sync
    if counts:
        return f"the copy of {' and '.join(counts)} counts already; those of other nodes are filled from it"
    arguments = {"mkfs": wanted.mkfs} if wanted.mkfs else {}
    return mirror.kit_on(node, verb, **arguments, **({"overwrite": "yes"} if wanted.overwrite else {}))


def _begin(mirror: _Mirror, _verb: str, body: bytes) -> Wanted:
    node = _node(mirror, decode(body, _OneNode, 'send {"node": "NAME"}').node)
    return TrustReplica(hierarchy=HierarchyId(mirror.hierarchy.name), node=NodeId(node), first=True)


def _force(mirror: _Mirror, _verb: str, body: bytes) -> Wanted:
    wanted = decode(body, _Force, 'send {"node": "NAME", "lose_writes_of": ["NAME"]}')
    node, counts = _node(mirror, wanted.node), mirror.hierarchy.in_sync
    if sorted(wanted.lose_writes_of) != sorted(counts):
        return f"name exactly the nodes whose writes may be lost: {', '.join(counts) or 'none'}"
    return TrustReplica(hierarchy=HierarchyId(mirror.hierarchy.name), node=NodeId(node), first=False)


_VERBS: dict[str, Callable[[_Mirror, str, bytes], Wanted]] = {
    "pause": _of_a_node,
    "resume": _of_a_node,
    "resync": _of_a_node,
    "full-resync": _of_a_node,
    "verify": _whole_mirror,
    "grow": _whole_mirror,
    "throttle": _throttle,
    "wipe": _wipe,
    "create": _create,
    "begin": _begin,  # the copy of that node counts as the first, and is brought in service
    "force": _force,
}


def _node(mirror: _Mirror, name: str) -> str:
    nodes = mirror.hierarchy.nodes
    if name in nodes:
        return name
    raise Refused(
        400, f'{mirror.tag} has no copy on a node called "{name}"', f"it has on {' and '.join(nodes)}"
    )
