"""Figures that Prometheus can read, each of them documented."""

from __future__ import annotations

import http.client
import re
import socket
from pathlib import Path

import pytest
from msgspec import structs

from agent.api.client import AgentClient
from agent.api.errors import ApiError
from agent.api.metrics import METRICS, PREFIX
from agent.api.mirrors import LEG_STATES
from agent.api.reports import ArbiterView, Counters, StatusReport
from tests.api.exposition import Family, read
from tests.api.fake_agent import FakeAgent, path, peer
from tests.api.mirrored import COPYING, GIB, IN_SYNC, TAG, lost, mirrored, source, target

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
MIRROR = {"hierarchy": "groupware", "resource": TAG}
LEG = {**MIRROR, "target": "db-02"}


def full() -> StatusReport:
    """A cluster of which there is something to tell in every family."""
    paths = [path("eni-0"), path("eni-1", "down", None, 100.0)]
    seen = mirrored("db-01", other=peer(paths=paths, comm="warning"))
    counters = Counters(heartbeats_sent=12, heartbeats_heard=11, dropped={"key": 3})
    arbiter = ArbiterView(kind="dynamodb", trouble="throttled")
    return structs.replace(seen, counters=counters, arbiter=arbiter, warnings=["careful"])


@pytest.fixture
def client(agent: FakeAgent, socket_path: Path) -> AgentClient:
    agent.then = [full()]
    agent.details = {"db-01": source(**COPYING), "db-02": target()}
    return AgentClient(socket_path)


def families(client: AgentClient) -> dict[str, Family]:
    """What is told, without the prefix."""
    return {name.removeprefix(PREFIX): each for name, each in read(client.metrics()).items()}


def test_every_family_is_told_with_its_help_and_documented_with_its_type_and_labels(
    client: AgentClient,
) -> None:
    told = families(client)
    assert list(told) == list(METRICS)
    assert {name: (each.type, each.help) for name, each in told.items()} == METRICS
    rows = re.findall(r"^\| `kagemusha_(\w+)` \| (\w+) \| ([\w, ]*)\|", DOCS.read_text(), re.MULTILINE)
    documented = {name: (kind, set(filter(None, labels.strip().split(", ")))) for name, kind, labels in rows}
    assert len(rows) == len(documented)
    assert documented == {
        name: (each.type, {label for labels in each.samples for label, _ in labels})
        for name, each in told.items()
    }


def test_what_the_figures_say(client: AgentClient) -> None:
    told = families(client)
    about = {"cluster": "garoon", "node": "db-01", "quorum": "none"}
    assert told["agent_info"].value(**about, version="0.1.0", config_digest="0123456789ab") == 1
    assert told["peer_standing"].value(peer="db-02", standing="alive") == 1
    assert sum(told["peer_standing"].samples.values()) == 1
    assert told["path_up"].value(peer="db-02", path="eni-1") == 0
    assert told["path_rtt_seconds"].samples == {
        frozenset({("peer", "db-02"), ("path", "eni-0")}): 0.00082  # unknown of the one that is down
    }
    assert told["path_loss_ratio"].value(peer="db-02", path="eni-1") == 1
    assert told["dropped_total"].value(reason="key") == 3
    assert told["arbiter_trouble"].value(kind="dynamodb") == 1
    assert told["hierarchy_owner"].value(hierarchy="groupware", node="db-01") == 1
    assert told["hierarchy_owner"].value(hierarchy="groupware", node="db-02") == 0
    assert told["hierarchy_in_service"].value(hierarchy="groupware") == 1
    assert told["hierarchy_term"].value(hierarchy="groupware") == 3
    on = {"hierarchy": "groupware", "resource": "ip-vip", "node": "db-02"}
    assert told["resource_state"].value(**on, state="OSU") == 1
    assert told["resource_state"].value(**on, state="ISP") == 0


def test_how_a_copy_gets_on(client: AgentClient) -> None:
    told = families(client)
    assert told["mirror_in_sync"].value(**MIRROR, node="db-01") == 1
    assert told["mirror_in_sync"].value(**MIRROR, node="db-02") == 0
    assert told["mirror_size_bytes"].value(**MIRROR) == 100 * GIB
    assert {state: told["mirror_leg_state"].value(**LEG, state=state) for state in LEG_STATES} == {
        state: state == "copying" for state in LEG_STATES
    }
    assert told["mirror_leg_copied_ratio"].value(**LEG) == 0.432
    assert told["mirror_leg_left_bytes"].value(**LEG) == 57 * GIB
    assert told["mirror_leg_lag_bytes"].value(**LEG) == 57 * GIB
    assert told["mirror_leg_lag_seconds"].value(**LEG) == 394


def test_a_whole_copy_lags_by_nothing(agent: FakeAgent, client: AgentClient) -> None:
    agent.details["db-01"] = source(**IN_SYNC)
    told = families(client)
    assert told["mirror_leg_lag_bytes"].value(**LEG) == told["mirror_leg_lag_seconds"].value(**LEG) == 0
    assert "mirror_leg_copied_ratio" not in told


def test_no_other_node_is_asked(agent: FakeAgent, client: AgentClient) -> None:
    agent.details["db-02"] = None  # it would hang
    assert "mirror_leg_state" in families(client)


def test_a_target_tells_nothing_of_legs_and_an_unknown_peer_nothing_of_its_configuration(
    agent: FakeAgent, client: AgentClient
) -> None:
    agent.then = [mirrored("db-01", other=structs.replace(lost(), config_digest=""))]
    agent.details["db-01"] = target()
    told = families(client)
    assert not [name for name in told if "leg" in name]
    assert "peer_config_same" not in told
    assert told["peer_standing"].value(peer="db-02", standing="lost") == 1


def test_whatever_a_label_holds_is_read_back(agent: FakeAgent, client: AgentClient) -> None:
    odd = 'a "quoted" \\path\\\nand {more}, ü'
    agent.then = [structs.replace(full(), cluster=odd)]
    (labels,) = families(client)["agent_info"].samples
    assert ("cluster", odd) in labels


def test_it_is_served_as_text(client: AgentClient, socket_path: Path) -> None:
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(10)
    connection.sock.connect(str(socket_path))
    try:
        connection.request("GET", "/v1/metrics")
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert response.read().startswith(b"# HELP kagemusha_agent_info ")
    finally:
        connection.close()


def test_a_defect_is_an_error_as_everywhere(agent: FakeAgent, client: AgentClient) -> None:
    agent.defect = ValueError("a detail")
    with pytest.raises(ApiError, match="the agent failed to answer: a defect"):
        client.metrics()


@pytest.mark.parametrize(
    "text",
    [
        "kagemusha_x 1\n",
        "# HELP kagemusha_x words\n# TYPE kagemusha_x gauge\nkagemusha_x 1",
        "# TYPE kagemusha_x gauge\nkagemusha_x 1\n",
        '# HELP a words\n# TYPE a gauge\na{b="c"d="e"} 1\n',
        '# HELP a words\n# TYPE a gauge\na{b="c\\"} 1\n',
        "# HELP a words\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a words\n# TYPE a counter\na 1\n",
        "# HELP a words\n# TYPE a gauge\na True\n",
    ],
)
def test_the_reader_is_strict(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read(text)
