"""Asks the nodes what their kits tell of replicated data.

Keeps: nodes are asked side by side, each about each mirror within `ASK_WITHIN_S`; a node that doesn't
answer is told as such and hides nothing of the others.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from msgspec.structs import replace

from agent.api.contract import AgentFacade
from agent.api.lookup import is_in_service
from agent.api.mirror_remarks import remarks
from agent.api.mirrors import MirrorDetails, MirrorOnNode, MirrorReport, read_details
from agent.api.reports import HierarchyView, StatusReport
from agent.core.commands import DETAILS
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.messages import AskKit

ASK_WITHIN_S = 6.0  # above the limit for another node's answer, below that for an answer of the API
MOST_AT_ONCE = 8  # questions to one node; its agent takes 16


async def all_mirrors(agent: AgentFacade, tag: str | None = None) -> list[MirrorReport]:
    """Every replicated resource, or the one of that tag, as all its nodes see it."""
    return await _mirrors(agent, agent.status(), tag, None)


async def own_mirrors(agent: AgentFacade, status: StatusReport) -> list[MirrorReport]:
    """Every replicated resource as this node alone sees it: nobody else is asked."""
    return await _mirrors(agent, status, None, status.node)


async def _mirrors(
    agent: AgentFacade, status: StatusReport, tag: str | None, only_node: str | None
) -> list[MirrorReport]:
    standings = {node.name: node.standing for node in status.nodes}
    gates = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(MOST_AT_ONCE))

    async def look(hierarchy: HierarchyView, mirror: str, node: str) -> MirrorOnNode:
        known = MirrorOnNode(standing=standings.get(node, "never-heard"), in_sync=node in hierarchy.in_sync)
        if only_node not in {None, node}:
            return replace(known, trouble="not asked")
        told = await _ask(agent, gates[node], hierarchy.name, mirror, node)
        return replace(known, trouble=told) if isinstance(told, str) else replace(known, details=told)

    async with asyncio.TaskGroup() as group:
        looks = [
            (
                hierarchy,
                each,
                {node: group.create_task(look(hierarchy, each.tag, node)) for node in hierarchy.nodes},
            )
            for hierarchy in status.hierarchies
            for each in hierarchy.resources
            if each.replicated and tag in {None, each.tag}
        ]
    reports = [
        MirrorReport(
            tag=mirror.tag,
            kit=mirror.kit,
            hierarchy=hierarchy.name,
            owner=hierarchy.owner,
            in_service=is_in_service(hierarchy),
            in_sync=hierarchy.in_sync,
            nodes={node: task.result() for node, task in asked.items()},
        )
        for hierarchy, mirror, asked in looks
    ]
    return [replace(report, remarks=list(remarks(report))) for report in reports]


async def _ask(
    agent: AgentFacade, gate: asyncio.Semaphore, hierarchy: str, tag: str, node: str
) -> MirrorDetails | str:
    """What the kit on that node tells, or why it doesn't."""
    command = AskKit(hierarchy=HierarchyId(hierarchy), tag=Tag(tag), node=NodeId(node), verb=DETAILS)
    try:
        async with asyncio.timeout(ASK_WITHIN_S), gate:
            answer = await agent.command(command)
    except TimeoutError:
        return f"no answer within {ASK_WITHIN_S:g} s"
    if not answer.accepted:
        return answer.text
    try:
        return read_details(answer.text)
    except ValueError as error:
        return str(error)
