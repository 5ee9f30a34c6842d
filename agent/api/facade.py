"""The running agent as the API shows it: reports built from the core's state and the comm layer's figures."""

from __future__ import annotations

import time

from agent.api.quorum import arbiter_view, authority_view, missing_votes, wait_view
from agent.api.reports import (
    AnswerReport,
    ArbiterView,
    ConfigReport,
    Counters,
    EventView,
    HierarchyOnNode,
    HierarchyView,
    NodeView,
    PathView,
    ResourceOnNode,
    ResourceView,
    StatusReport,
    TimelineReport,
)
from agent.api.timeline import timelines
from agent.comm.wire import Reason
from agent.core.events import Departing
from agent.core.ids import NodeId
from agent.core.messages import Command, HierarchyReport
from agent.core.model import Hierarchy
from agent.core.node import Node
from agent.core.states import PathState, PeerStanding
from agent.runtime.agent import Agent
from agent.runtime.clock import boottime_ms
from agent.runtime.noticelog import LoggedNotice
from agent.runtime.reload import Reloader


class Facade:
    """Fulfils `agent.api.contract.AgentFacade`."""

    def __init__(self, agent: Agent, reloader: Reloader) -> None:
        self._agent, self._reloader = agent, reloader

    def status(self) -> StatusReport:
        """The cluster as this node sees it now."""
        agent, node = self._agent, self._node()
        cluster, counters = node.state.cluster, agent.comm.counters()
        arbiter = arbiter_view(agent, node)
        return StatusReport(
            cluster=cluster.name,
            node=agent.me,
            version=agent.version,
            config_digest=agent.config.digest,
            quorum=cluster.quorum.value,
            time=time.time(),
            warnings=self._warnings(node, arbiter),
            nodes=[self._node_view(node, name) for name in cluster.nodes],
            hierarchies=[self._hierarchy_view(node, spec) for spec in cluster.hierarchies],
            arbiter=arbiter,
            counters=Counters(
                heartbeats_sent=counters.heartbeats_sent,
                heartbeats_heard=counters.heartbeats_heard,
                dropped={str(reason): count for reason, count in counters.dropped.items()},
            ),
        )

    async def events(self, limit: int, after: int) -> list[EventView]:
        """The newest events, or the next ones after an id."""
        return [_event_view(each) for each in self._agent.notices.newest(limit, after)]

    async def timelines(self, limit: int) -> list[TimelineReport]:
        """The newest timelines, newest first."""
        return timelines([_event_view(each) for each in self._agent.notices.all()], limit)

    def config(self) -> ConfigReport:
        """The configuration in force."""
        config = self._agent.config
        return ConfigReport(
            source=str(config.source),
            digest=config.digest,
            loaded_time=self._reloader.loaded_time,
            text=config.text,
            notes=list(config.notes),
        )

    async def reload_config(self) -> AnswerReport:
        """Read the file again."""
        result = await self._reloader.reload()
        return AnswerReport(accepted=result.accepted, text=result.text)

    def depart(self) -> AnswerReport:
        """The machine is about to stop."""
        self._agent.feed(Departing(boottime_ms()))
        return AnswerReport(accepted=True, text=f"{self._agent.me} is leaving")

    async def command(self, command: Command) -> AnswerReport:
        """Begin what an operator asks."""
        answer = await self._agent.command(command)
        return AnswerReport(accepted=answer.accepted, text=answer.text)

    def _node(self) -> Node:
        assert self._agent.node is not None  # the API is served only while the agent runs
        return self._agent.node

    def _warnings(self, node: Node, arbiter: ArbiterView | None) -> list[str]:
        warnings = list(self._agent.config.notes)
        warnings += [f"this node isn't guarded: {each}" for each in self._agent.lifeline.troubles]
        if arbiter is not None and arbiter.trouble:
            since = f" (since {_clock(arbiter.since_time)})" if arbiter.since_time is not None else ""
            warnings.append(f"the arbiter's vote can't be had{since}: {arbiter.trouble}")
        if votes := missing_votes(node, arbiter):
            warnings.append(votes)
        if node.state.ownership.store_failed:
            warnings.append(f"the store can't be written: {node.state.ownership.store_failed}")
        missing = [name for name, peer in node.state.peers.items() if peer.standing is not PeerStanding.ALIVE]
        if missing and (strange := self._agent.comm.counters().dropped.get(Reason.KEY.value)):
            warnings.append(
                f"{strange} datagrams that name a node of this cluster were sealed with another key: "
                f"compare the key file with that of {', '.join(missing)}, then restart the agent"
            )
        mine = self._agent.config.digest
        warnings += [
            f"{name} runs with another configuration ({info.config_digest}, here {mine})"
            for name, info in self._agent.comm.peer_info().items()
            if info.config_digest != mine and node.state.peers[name].standing is PeerStanding.ALIVE
        ]
        return warnings

    def _node_view(self, node: Node, name: NodeId) -> NodeView:
        agent, witness = self._agent, name in node.state.cluster.witnesses
        if name == agent.me:
            views = [self._node_view(node, peer) for peer in node.state.peers]
            return NodeView(
                name=name,
                standing="self",
                comm="up"
                if all(each.comm == "up" for each in views)
                else "warning",  # it isn't dead: it answers
                witness=witness,
                config_digest=agent.config.digest,
                version=agent.version,
                keys=[key_id.hex() for key_id in agent.comm.key_ids],
            )
        peer, info = node.state.peers[name], agent.comm.peer_info().get(name)
        paths = [
            PathView(
                name=stats.name,
                priority=stats.priority,
                state=peer.paths[stats.name].state.value,
                local=stats.local,
                remote=stats.remote,
                rtt_ms=stats.rtt_ms,
                loss_percent=stats.loss_percent,
            )
            for stats in agent.comm.path_stats().get(name, ())
        ]
        up = sum(each.state == PathState.UP.value for each in paths)
        comm = "dead" if up == 0 else "up" if up == len(paths) > 1 else "warning"
        return NodeView(
            name=name,
            standing=peer.standing.value,
            comm=comm,
            witness=witness,
            paths=paths,
            config_digest=info.config_digest if info else "",
            version=info.version if info else "",
            keys=[key_id.hex() for key_id in info.keys] if info else [],
        )

    def _hierarchy_view(self, node: Node, spec: Hierarchy) -> HierarchyView:
        reports = {name: self._report(node, name, spec) for name in spec.nodes}
        register, at = node.mind.authority.register(spec.name), boottime_ms()
        return HierarchyView(
            name=spec.name,
            owner=register.owner,
            term=register.term,
            held=register.held,
            switchback=spec.switchback.value,
            nodes={
                name: HierarchyOnNode(
                    priority=spec.rank(name) + 1,
                    phase=report.phase.value if report else "unknown",
                    eligible=report.eligible if report else False,
                    why_not=report.why_not if report else _silent(node, name),
                    waits=wait_view(node, spec, name, report, at),
                )
                for name, report in reports.items()
            },
            resources=[
                ResourceView(
                    tag=each.tag,
                    kit=each.kit,
                    depends_on=list(each.depends_on),
                    nodes={name: _resource_on(report, each.tag) for name, report in reports.items()},
                    replicated=each.replicated,
                )
                for each in reversed(spec.resources)
            ],
            unattended=register.unattended,
            authority=authority_view(node, spec.name, at),
            in_sync=list(register.in_sync),
        )

    def _report(self, node: Node, name: NodeId, spec: Hierarchy) -> HierarchyReport | None:
        """What is known of the hierarchy on a node; None of a node that doesn't answer."""
        if name == self._agent.me:
            reports = node.mind.report(boottime_ms()).hierarchies
            return next(each for each in reports if each.register.hierarchy == spec.name)
        if node.state.peers[name].standing is not PeerStanding.ALIVE:
            return None
        return node.mind.reported(name, spec.name)


def _resource_on(report: HierarchyReport | None, tag: str) -> ResourceOnNode:
    found = next((each for each in report.resources if each.tag == tag), None) if report else None
    if found is None:
        return ResourceOnNode(state="unknown")
    action = found.action.value if found.action else None
    return ResourceOnNode(state=found.state.value, action=action, why=found.why)


def _clock(at_time: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_time))


def _silent(node: Node, name: NodeId) -> str:
    peer = node.state.peers.get(name)
    match peer.standing if peer else None:
        case PeerStanding.LEFT:
            return "its agent was stopped"
        case PeerStanding.LOST:
            return "it is lost"
        case _:
            return "it hasn't reported yet"


def _event_view(logged: LoggedNotice) -> EventView:
    notice = logged.notice
    return EventView(
        id=logged.id,
        time=logged.time,
        at_ms=notice.at,
        node=logged.node,
        kind=notice.kind.value,
        severity=notice.severity.value,
        text=notice.text,
        hierarchy=notice.hierarchy,
        tag=notice.tag,
        peer=notice.peer,
        action=notice.action.value if notice.action else None,
        took_ms=notice.took_ms,
        reason=notice.reason.name.lower().replace("_", "-") if notice.reason else None,
    )
