"""What `kage status` and `kage nodes` look like. The texts are in golden/."""

from __future__ import annotations

import re

import pytest
from msgspec import structs

from agent.api.reports import (
    ArbiterView,
    Counters,
    HierarchyOnNode,
    NodeView,
    ResourceOnNode,
    ResourceView,
    StatusReport,
    WaitView,
)
from agent.cli.status_view import doing, nodes_page, status_page, summary, walk
from tests.api.fake_agent import hierarchy, path, peer, resources, status
from tests.cli.golden_text import drawn, hold_against

RESTORING = {
    "fs-dir1": ResourceOnNode(state="ISP"),
    "cyde_5_0": ResourceOnNode(state="OSU", action="restore"),
}
FAILED = {
    "fs-dir1": ResourceOnNode(
        state="OSF",
        why="restore: mount exited with 32: mount: /mnt/DIR1: wrong fs type, bad option, bad superblock on "
        "/dev/nvme1n1p1",
    )
}
LOST_PATHS = [path("eni-0", "down", None, 100.0), path("eni-1", "down", None, 100.0)]


def majority(report: StatusReport, *witnesses: NodeView, arbiter: ArbiterView | None = None) -> StatusReport:
    """The same cluster with quorum "majority"."""
    nodes = [*report.nodes, *witnesses]
    return structs.replace(report, quorum="majority", nodes=nodes, arbiter=arbiter)


def lost_owner(**waits: object) -> StatusReport:
    """db-02 owns it and is lost; db-01 waits."""
    view = hierarchy(
        "db-02",
        ("stopped", "unknown"),
        why_not=("", "it is lost"),
        waits=(WaitView(**waits), None),  # type: ignore[arg-type]  # its fields
        tree=resources("OSU", "unknown"),
    )
    return majority(status(view, peer("lost", "dead", LOST_PATHS)), arbiter=ArbiterView(kind="dynamodb"))


WITNESS = NodeView(
    name="db-03", standing="alive", comm="up", witness=True, paths=[path("eni-0"), path("eni-1")]
)
STATES = {
    "all-good": status(),
    "path-warning": status(
        other=peer("alive", "warning", [path("eni-0"), path("eni-1", "down", None, 100.0)]),
        warnings=[
            'quorum is "none": two nodes that lose each other on every comm path may both run groupware'
        ],
    ),
    "peer-lost": status(
        hierarchy(phases=("running", "unknown"), why_not=("", "not heard"), tree=resources("ISP", "unknown")),
        peer("lost", "dead", LOST_PATHS),
    ),
    "restoring": status(
        hierarchy("db-01", ("starting", "stopped"), tree=resources(RESTORING, "OSU")),
        peer("left", "dead", []),
    ),
    "failed": status(
        hierarchy(
            "db-02",
            ("stopped", "running"),
            why_not=("fs-dir1 failed here; tried again after 10 min, or after kage recover fs-dir1", ""),
            tree=resources(FAILED, "ISP"),
        )
    ),
    "nowhere-to-go": status(
        hierarchy(
            "db-02",
            ("stopped", "starting"),
            why_not=("fs-dir1 failed here", ""),
            tree=resources(FAILED, FAILED),
        )
    ),
    "held": status(hierarchy(None, ("stopped", "stopped"), held=True, tree=resources("OSU", "OSU"))),
    "majority": majority(status(), arbiter=ArbiterView(kind="dynamodb")),
    "witness": majority(status(), WITNESS),
    "arbiter-trouble": majority(
        status(
            warnings=[
                "the arbiter's vote can't be had (since 2026-11-18 11:02:10): throttled",
                "2 of 3 votes are in reach (not the arbiter): if one more goes, nothing may run here",
            ]
        ),
        arbiter=ArbiterView(kind="dynamodb", trouble="throttled", since_time=1_795_000_000.0),
    ),
    "confirming": lost_owner(reason="confirming", lost=["db-02"], default=True, default_time=1_795_000_090.0),
    "confirmed-no": lost_owner(
        reason="confirming", lost=["db-02"], answered=False, default=True, default_time=1_795_000_090.0
    ),
    "fencing": lost_owner(reason="fencing", lost=["db-02"], why="ec2: UnauthorizedOperation"),
    "isolated": lost_owner(reason="isolated"),
    "unattended": status(
        hierarchy(
            "db-02",
            ("stopped", "unknown"),
            why_not=("", "its agent was stopped"),
            tree=resources("OSU", "unknown"),
            unattended=True,
        ),
        peer("left", "dead", LOST_PATHS),
    ),
    "never-heard": status(
        hierarchy("db-02", ("stopped", "unknown"), tree=resources("OSU", "unknown")),
        peer("never-heard", "dead", [path("eni-0", "down", None, None)]),
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_status_reads_so(name: str) -> None:
    hold_against(f"status-{name}", lambda terminal: status_page(STATES[name], terminal=terminal))


def test_nodes_read_so() -> None:
    counters = Counters(heartbeats_sent=1200, heartbeats_heard=1190, dropped={"replayed": 2, "bad seal": 7})
    other = structs.replace(peer(), config_digest="ba9876543210")
    report = structs.replace(status(other=other), counters=counters)
    hold_against("nodes", lambda terminal: nodes_page(report, terminal=terminal))


def test_no_hierarchies_read_so() -> None:
    report = structs.replace(status(), hierarchies=[])
    hold_against("status-no-hierarchies", lambda terminal: status_page(report, terminal=terminal))


def test_a_resource_that_two_depend_on_is_explained_once() -> None:
    shared = [
        ResourceView(tag=tag, kit="generic", depends_on=below, nodes={"db-01": ResourceOnNode(state="ISP")})
        for tag, below in (
            ("web", ["app"]),
            ("mail", ["app"]),
            ("app", ["db", "cache"]),
            ("db", []),
            ("cache", []),
        )
    ]
    view = structs.replace(
        hierarchy(tree=shared),
        nodes={"db-01": HierarchyOnNode(priority=1, phase="running", eligible=True)},
    )
    lines = [
        f"{branch}{each.tag}{' (above)' if again else ''}"
        for branch, each, again in walk(view, terminal=True)
    ]
    assert lines == ["web", "└─ app", "   ├─ db", "   └─ cache", "mail", "└─ app (above)"]
    hold_against("status-shared", lambda terminal: status_page(status(view), terminal=terminal))


@pytest.mark.parametrize(
    ("owner", "phases", "held", "text"),
    [
        ("db-01", ("running", "stopped"), False, "in service on db-01"),
        ("db-02", ("stopped", "starting"), False, "starting on db-02"),
        ("db-01", ("stopping", "stopped"), False, "stopping on db-01"),
        ("db-01", ("stuck", "stopped"), False, "stuck on db-01"),
        ("db-01", ("unknown", "stopped"), False, "owned by db-01, which is not heard"),
        ("db-09", ("stopped", "stopped"), False, "owned by db-09, which is not heard"),
        (None, ("stopped", "stopped"), True, "held out of service by an operator"),
        (None, ("stopped", "stopped"), False, "not in service"),
    ],
)
def test_a_summary_says_where_it_is(
    owner: str | None, phases: tuple[str, str], held: bool, text: str
) -> None:
    assert summary(hierarchy(owner, phases, held=held)) == text


def test_what_another_node_waits_for_is_done_there() -> None:
    elsewhere = structs.replace(STATES["fencing"], node="db-03")
    text = drawn(status_page(elsewhere, terminal=False), terminal=False)
    assert "is certainly off: on db-01: kage in-service groupware --owner-is-off db-02" in text
    unknown = lost_owner(reason="confirming", lost=["db-02"])
    text = drawn(status_page(unknown, terminal=False), terminal=False)
    assert "db-01 waits for your word: kage confirm groupware yes (or no)\n" in text
    several = lost_owner(reason="fencing", lost=["db-02", "db-03"])
    text = drawn(status_page(several, terminal=False), terminal=False)
    assert "db-01 waits for the fencing of db-02 and db-03; if that machine" in text
    assert "--owner-is-off NODE\n" in text
    newer = lost_owner(reason="mirror")
    assert "db-01 waits: mirror\n" in drawn(status_page(newer, terminal=False), terminal=False)


def test_checks_are_no_action_in_progress() -> None:
    checking = {"fs-dir1": ResourceOnNode(state="ISP", action="quick-check")}
    assert doing(hierarchy(tree=resources(checking))) == ""
    assert doing(hierarchy(tree=resources(RESTORING))) == "db-01: restoring… cyde_5_0"


@pytest.mark.parametrize(
    ("state", "code"), [("ISP", "32"), ("ISU", "33"), ("OSU", "2"), ("OSF", "1;31"), ("unknown", "35")]
)
def test_states_have_lifekeepers_colours(state: str, code: str) -> None:
    page = status_page(status(hierarchy(tree=resources(state, "-"))), terminal=True)
    assert re.search(rf"\x1b\[{code}m{state} *\x1b\[0m", drawn(page, terminal=True, colour=True))


def test_what_a_script_printed_cannot_steer_the_terminal() -> None:
    bad = {
        "fs-dir1": ResourceOnNode(state="OSF", why="\x1b]0;owned\x07 [bold]not markup[/bold]\r\x9b2J\nmore")
    }
    page = status_page(status(hierarchy(tree=resources(bad))), terminal=True)
    for text in (drawn(page, terminal=True), drawn(page, terminal=False)):
        assert "�]0;owned� [bold]not markup[/bold]�2J more" in text
        assert not {"\x1b", "\x07", "\x9b"} & set(text)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    nodes = {f"application-server-{n}": ResourceOnNode(state="OSU", action="restore") for n in range(5)}
    on = {
        name: HierarchyOnNode(priority=1, phase="running", eligible=False, why_not="x" * 90) for name in nodes
    }
    tree = [ResourceView(tag="t" * 64, kit="generic", depends_on=[], nodes=nodes)]
    report: StatusReport = status(structs.replace(hierarchy(), nodes=on, resources=tree))
    text = drawn(status_page(report, terminal=True), terminal=True, width=width)
    assert max(map(len, text.splitlines())) <= width
