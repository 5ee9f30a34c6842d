"""Mirrors over HTTP: every node's word beside each other, and nothing asked that wasn't checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from agent.api import mirror_asking
from agent.api.client import AgentClient
from agent.api.errors import ApiError
from agent.api.mirrors import LegDetails, MirrorReport
from agent.api.reports import AnswerReport, StatusReport
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.messages import AskKit, TrustReplica
from tests.api.fake_agent import FakeAgent, peer
from tests.api.mirrored import COPYING, GIB, IN_SYNC, TAG, lost, mirrored, source, target, told
from tests.api.test_server import ask

GROUPWARE = HierarchyId("groupware")
BOTH = mirrored("db-01", "db-02")
ALONE = mirrored("db-01")
HELD = mirrored("db-01", "db-02", owner=None, phases=("stopped", "stopped"))


@pytest.fixture
def client(agent: FakeAgent, socket_path: Path) -> AgentClient:
    agent.then = [BOTH]
    agent.details = {"db-01": source(**IN_SYNC), "db-02": target()}
    return AgentClient(socket_path)


def kit(verb: str, on: str | None = None, /, **arguments: str) -> AskKit:
    """What the core is asked."""
    node, pairs = None if on is None else NodeId(on), tuple(arguments.items())
    return AskKit(hierarchy=GROUPWARE, tag=Tag(TAG), node=node, verb=verb, arguments=pairs)


def test_every_nodes_word_is_there(client: AgentClient) -> None:
    (mirror,) = client.mirrors()
    assert mirror == client.mirror(TAG)
    assert (mirror.hierarchy, mirror.owner, mirror.in_service) == ("groupware", "db-01", True)
    assert mirror.in_sync == ["db-01", "db-02"]
    assert mirror.remarks == []
    leg = mirror.leg("db-02")
    assert leg is not None
    assert (leg.state, leg.lacks_bytes, leg.address) == ("in-sync", 0, "10.0.6.4")
    assert leg.last_resync is not None
    assert leg.last_resync.bytes == 22_020_096
    assert {name: on.details and on.details.role for name, on in mirror.nodes.items()} == {
        "db-01": "source",
        "db-02": "target",
    }


def test_a_node_that_hangs_hides_nothing_of_the_others(
    agent: FakeAgent, client: AgentClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_asking, "ASK_WITHIN_S", 0.05)
    agent.details["db-02"] = None
    mirror = client.mirror(TAG)
    assert mirror.leg("db-02") is not None
    assert (mirror.nodes["db-02"].details, mirror.nodes["db-02"].trouble) == (
        None,
        "no answer within 0.05 s",
    )


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("", "its kit tells what this version doesn't understand"),
        ("[]", "its kit tells what this version doesn't understand"),
        ('{"legs": 7}', "its kit tells what this version doesn't understand"),
        ('{"legs": [{"state": "in-sync"}]}', "its kit tells what this version doesn't understand"),
    ],
)
def test_what_a_kit_tells_wrongly_is_said(
    agent: FakeAgent, client: AgentClient, text: str, trouble: str
) -> None:
    agent.details["db-01"] = AnswerReport(accepted=True, text=text)
    mirror = client.mirror(TAG)
    assert mirror.nodes["db-01"].trouble.startswith(trouble)
    assert mirror.nodes["db-02"].details is not None


def test_a_newer_or_a_terse_kit_is_shown_as_far_as_it_is_understood(
    agent: FakeAgent, client: AgentClient
) -> None:
    agent.details["db-01"] = told(role="source", colour="blue", legs=[{"node": "db-02", "state": "dozing"}])
    leg = client.mirror(TAG).leg("db-02")
    assert leg is not None
    assert (leg.state, leg.percent, leg.lacks_bytes) == ("dozing", None, None)


def remarks_of(agent: FakeAgent, client: AgentClient, seen: StatusReport, **details: Any) -> list[str]:
    agent.then, agent.details = [seen], {name.replace("_", "-"): each for name, each in details.items()}
    return client.mirror(TAG).remarks


ALONE_HAS = "; until then db-01 alone has everything"


@pytest.mark.parametrize(
    ("seen", "details", "remark"),
    [
        (BOTH, {"db_01": source(**IN_SYNC), "db_02": target()}, ""),
        (ALONE, {"db_01": source(**COPYING), "db_02": target()}, ""),
        (HELD, {"db_01": target(), "db_02": target()}, ""),
        (
            mirrored(owner=None, phases=("stopped", "stopped")),
            {},
            f"no copy counts yet; name the node whose disk shall be the first: kage mirror create {TAG} NODE",
        ),
        (
            mirrored(owner=None, phases=("stopped", "stopped")),
            {"db_01": told(job={"verb": "create", "state": "running"})},
            "",
        ),
        (
            mirrored("db-01", other=lost()),
            {"db_01": source(state="unreachable")},
            f"it goes on without db-02: start that node, and its copy is filled by itself{ALONE_HAS}",
        ),
        (
            mirrored("db-02", owner="db-02", phases=("stopped", "unknown"), other=lost()),
            {"db_01": target()},
            (
                "the copy of db-01 lacks writes that db-02 may have: start db-02; if the data there is lost "
                f"for good: kage mirror force {TAG} db-01"
            ),
        ),
        (
            ALONE,
            {"db_01": source(state="paused"), "db_02": target()},
            f"nothing is copied to db-02, as an operator wanted: kage mirror resume {TAG} db-02{ALONE_HAS}",
        ),
        (
            ALONE,
            {"db_01": source(state="refused", why="it holds an ext4 filesystem"), "db_02": target()},
            (
                "the disk of db-02 isn't taken: it holds an ext4 filesystem; if nothing on it is needed: "
                f"kage mirror wipe {TAG} db-02{ALONE_HAS}"
            ),
        ),
        (
            ALONE,
            {"db_01": source(state="unreachable", why="connection refused"), "db_02": target()},
            f"the copy of db-02 can't be reached, though its agent answers: connection refused{ALONE_HAS}",
        ),
        (
            ALONE,
            {"db_01": source(state="slow", why="it took 800 ms for an answer"), "db_02": target()},
            (
                "writes go on without db-02: it took 800 ms for an answer; at once by "
                f"kage mirror resume {TAG} db-02{ALONE_HAS}"
            ),
        ),
        (
            ALONE,
            {"db_01": source(state="dropped"), "db_02": target()},
            f"db-02 is back and lacks writes; its copy is filled by itself{ALONE_HAS}",
        ),
        (
            BOTH,
            {"db_01": source(state="waiting", stalled_ms=3_400, why="no answer"), "db_02": target()},
            "writes have waited 3 s for db-02: no answer",
        ),
        (
            BOTH,
            {"db_01": source(**IN_SYNC, answer_ms=2_340, slow_ms=2_340), "db_02": target()},
            f"db-02 takes 2340 ms for an answer; to go on without it: kage mirror pause {TAG} db-02",
        ),
        (
            ALONE,
            {"db_02": target()},
            f"db-02 isn't in sync, and db-01 tells nothing of its copy{ALONE_HAS}",
        ),
        (
            BOTH,
            {"db_01": source(**IN_SYNC), "db_02": target(state="foreign", why="it holds LVM2")},
            "/dev/disk/by-id/nvme-vol1 on db-02: it holds LVM2",
        ),
        (
            BOTH,
            {"db_01": told(role="source", job={"verb": "verify", "state": "failed", "text": "8 blocks"})},
            "verify on db-01 failed: 8 blocks",
        ),
    ],
)
def test_what_is_not_fine_comes_with_what_to_do(
    agent: FakeAgent, client: AgentClient, seen: StatusReport, details: dict[str, Any], remark: str
) -> None:
    assert remarks_of(agent, client, seen, **details) == ([remark] if remark else [])


def test_with_every_node_away_a_witness_says_which_to_start(agent: FakeAgent, client: AgentClient) -> None:
    seen = mirrored("db-02", owner="db-02", phases=("unknown", "unknown"), other=lost())
    away = [structs.replace(each, standing="lost") for each in seen.nodes]
    seen = structs.replace(seen, node="db-03", nodes=[*away, structs.replace(peer(), name="db-03")])
    assert remarks_of(agent, client, seen) == ["none of its nodes answers: start db-02"]


@pytest.mark.parametrize(
    ("seen", "verb", "body", "command"),
    [
        (BOTH, "pause", {"node": "db-02"}, kit("pause", node="db-02")),
        (BOTH, "resume", {"node": "db-02"}, kit("resume", node="db-02")),
        (BOTH, "resync", {"node": "db-02"}, kit("resync", node="db-02")),
        (BOTH, "full-resync", {"node": "db-02"}, kit("full-resync", node="db-02")),
        (BOTH, "verify", {}, kit("verify")),
        (BOTH, "grow", {}, kit("grow")),
        (BOTH, "throttle", {"bytes_per_s": 50_000_000}, kit("throttle", bytes_per_s="50000000")),
        (ALONE, "wipe", {"node": "db-02"}, kit("wipe", "db-02")),
        (mirrored(owner=None), "create", {"node": "db-01"}, kit("create", "db-01")),
        (
            mirrored(owner=None),
            "create",
            {"node": "db-02", "mkfs": "xfs", "overwrite": True},
            kit("create", "db-02", mkfs="xfs", overwrite="yes"),
        ),
        (
            mirrored(owner=None),
            "begin",
            {"node": "db-02"},
            TrustReplica(hierarchy=GROUPWARE, node=NodeId("db-02"), first=True),
        ),
        (
            HELD,
            "force",
            {"node": "db-02", "lose_writes_of": ["db-02", "db-01"]},
            TrustReplica(hierarchy=GROUPWARE, node=NodeId("db-02"), first=False),
        ),
    ],
)
def test_what_is_asked_reaches_the_agent(
    agent: FakeAgent,
    client: AgentClient,
    seen: StatusReport,
    verb: str,
    body: dict[str, Any],
    command: object,
) -> None:
    agent.then = [seen]
    assert client.ask_mirror(TAG, verb, body) == AnswerReport(accepted=True, text="begun")
    assert agent.commands == [command]


@pytest.mark.parametrize(
    ("seen", "verb", "body", "why"),
    [
        (HELD, "verify", {}, "is in service nowhere"),
        (HELD, "pause", {"node": "db-02"}, "first: kage in-service groupware"),
        (BOTH, "wipe", {"node": "db-02"}, f"kage mirror pause {TAG} db-02"),
        (ALONE, "create", {"node": "db-02"}, "the copy of db-01 counts already"),
        (HELD, "force", {"node": "db-02", "lose_writes_of": ["db-01"]}, "may be lost: db-01, db-02"),
        (HELD, "force", {"node": "db-02", "lose_writes_of": []}, "may be lost: db-01, db-02"),
    ],
)
def test_what_would_harm_is_refused_before_the_agent_is_asked(
    agent: FakeAgent, client: AgentClient, seen: StatusReport, verb: str, body: dict[str, Any], why: str
) -> None:
    agent.then = [seen]
    answer = client.ask_mirror(TAG, verb, body)
    assert not answer.accepted
    assert why in answer.text
    assert not agent.commands


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "error"),
    [
        ("GET", "/v1/mirrors/fs-dir1", None, 404, 'no mirror has the tag "fs-dir1"'),
        ("GET", "/v1/mirrors/%FF", None, 404, "no mirror has the tag"),
        ("POST", f"/v1/mirrors/{TAG}", b"{}", 405, f"/v1/mirrors/{TAG} doesn't take POST"),
        ("GET", f"/v1/mirrors/{TAG}/pause", None, 405, f"/v1/mirrors/{TAG}/pause doesn't take GET"),
        ("POST", "/v1/mirrors/nothing/pause", b'{"node": "db-02"}', 404, 'no mirror has the tag "nothing"'),
        ("POST", f"/v1/mirrors/{TAG}/destroy", b"{}", 404, 'a mirror knows no "destroy"'),
        ("POST", f"/v1/mirrors/{TAG}/details", b"{}", 404, 'a mirror knows no "details"'),
        ("POST", f"/v1/mirrors/{TAG}/pause", None, 400, "the body can't be read"),
        ("POST", f"/v1/mirrors/{TAG}/pause", b'{"node": "db-9"}', 400, f"{TAG} has no copy on a node"),
        ("POST", f"/v1/mirrors/{TAG}/pause", b'{"node": "db-02", "x": 1}', 400, "the body can't be read"),
        ("POST", f"/v1/mirrors/{TAG}/verify", b'{"node": "db-02"}', 400, "the body can't be read"),
        ("POST", f"/v1/mirrors/{TAG}/throttle", b'{"bytes_per_s": -1}', 400, "the body can't be read"),
        ("POST", f"/v1/mirrors/{TAG}/throttle", b'{"bytes_per_s": "50MB"}', 400, "the body can't be read"),
        ("POST", f"/v1/mirrors/{TAG}/create", b'{"node": "db-02", "mkfs": "fat"}', 400, "the body can't"),
        ("POST", f"/v1/mirrors/{TAG}/force", b'{"node": "db-02"}', 400, "the body can't be read"),
        ("POST", f"/v1/mirrors/{TAG}/pause", b" " * 5_000, 413, "the body is larger than 4096"),
    ],
)
def test_bad_input_never_reaches_the_agent(
    agent: FakeAgent, socket_path: Path, method: str, target: str, body: bytes | None, status: int, error: str
) -> None:
    agent.then = [BOTH]
    answered, report = ask(socket_path, method, target, body)
    assert answered == status
    assert set(report) == {"error", "hint"}
    assert report["error"].startswith(error)
    assert not agent.commands


def test_an_unknown_tag_comes_with_those_there_are(client: AgentClient) -> None:
    with pytest.raises(ApiError) as caught:
        client.mirror("mirror-dir2")
    assert caught.value.hint == f"there is {TAG}"


def test_lag_is_what_is_left_unless_the_kit_knows_better() -> None:
    assert LegDetails(node="db-02", state="copying", bytes_left=7 * GIB).lacks_bytes == 7 * GIB
    assert LegDetails(node="db-02", state="copying", bytes_left=7 * GIB, lag_bytes=1).lacks_bytes == 1
    assert LegDetails(node="db-02", state="dropped").lacks_bytes is None


def test_without_its_source_no_leg_is_known() -> None:
    report = MirrorReport(
        tag=TAG, kit="mirror", hierarchy="g", owner=None, in_service=False, in_sync=[], nodes={}
    )
    assert report.leg("db-02") is None
