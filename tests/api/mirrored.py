"""The reference cluster with a mirror under its filesystem, in every state of its copies."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from agent.api.reports import AnswerReport, NodeView, ResourceOnNode, ResourceView, StatusReport
from tests.api.fake_agent import hierarchy, peer, resources, status

TAG = "mirror-dir1"
GIB = 1 << 30
DISK = "/dev/disk/by-id/nvme-vol1"


def mirrored(
    *in_sync: str,
    owner: str | None = "db-01",
    phases: tuple[str, str] = ("running", "stopped"),
    other: NodeView | None = None,
) -> StatusReport:
    """As db-01 sees it; `in_sync` is what the register says."""
    states = {
        name: ResourceOnNode(state="ISP" if phase == "running" else "OSU")
        for name, phase in zip(("db-01", "db-02"), phases, strict=True)
    }
    above = [structs.replace(each, nodes=states) for each in resources()]
    above[-1] = structs.replace(above[-1], depends_on=[TAG])
    mirror = ResourceView(tag=TAG, kit="mirror", depends_on=[], nodes=states, replicated=True)
    view = hierarchy(owner, phases, tree=[*above, mirror], held=owner is None)
    return status(structs.replace(view, in_sync=list(in_sync)), other or peer())


def lost() -> NodeView:
    """db-02, which doesn't answer."""
    return peer("lost", "dead", [])


def told(**details: Any) -> AnswerReport:
    """What a kit tells."""
    return AnswerReport(accepted=True, text=msgspec.json.encode(details).decode())


def source(**leg: Any) -> AnswerReport:
    """What the source's kit tells of db-02's copy."""
    legs = [{"node": "db-02", "address": "10.0.6.4", **leg}]
    disk = {"path": DISK, "state": "ok"}
    return told(role="source", mode="sync", size_bytes=100 * GIB, legs=legs, disk=disk)


def target(**disk: Any) -> AnswerReport:
    """What a target's kit tells."""
    return told(role="target", mode="sync", disk={"path": DISK, "state": "ok", **disk})


COPYING = {
    "state": "copying",
    "percent": 43.2,
    "bytes_left": 57 * GIB,
    "rate_bytes_per_s": 118e6,
    "seconds_left": 518.0,
    "lag_s": 394.0,
    "answer_ms": 4,
}
IN_SYNC = {"state": "in-sync", "last_resync": {"kind": "union", "bytes": 22_020_096, "seconds": 0.8}}
