"""The cluster key is changed while everything runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.comm.codec import HeartbeatFrame, encode_heartbeat
from agent.comm.keys import Keyring
from agent.comm.wire import Sealer, node_hash, path_hash
from agent.core.ids import NodeId, PathId
from tests.cluster.cluster import WITHIN_S, Cluster, now_ms
from tests.machines.client import now_s
from tests.machines.lab import NODES
from tests.machines.machine import CommandFailed

pytestmark = pytest.mark.cluster

KEY_FILE = "/mnt/disk/etc/cluster.key"
DEAD_AFTER_S = 2.0
TROUBLE = (
    *("path-down", "peer-lost", "peer-left", "ownership-sought", "ownership-lost", "move-begun"),
    *("failover-begun", "resource-failed", "out-of-service", "config-refused"),
)
_SEND = (
    "import socket, sys\n"
    "socket.socket(type=socket.SOCK_DGRAM).sendto(bytes.fromhex(sys.argv[1]), (sys.argv[2], 7400))"
)


def test_a_key_is_rotated_on_both_nodes_while_a_client_writes_and_nobody_notices(cluster: Cluster) -> None:
    key_a = bytes.fromhex(key_file(cluster, "db-01").read_text())
    (old,) = (key_id.hex() for key_id in Keyring([key_a]).ids)
    client = cluster.start_client()
    cluster.wait_served(client)
    pids = {node: cluster.agents[node].pid() for node in NODES}
    moved = {node: cluster.calls(node, "restore", "remove", "recover") for node in NODES}
    forge(cluster, key_a, "unanswered")  # it authenticates; it is only not an answer
    mark, begun = now_ms(), now_s()

    _, new = cluster.kage("db-01", "keygen", KEY_FILE, "--add")["keys"]
    copy(cluster, "db-01", "db-02")
    for step, keys in ((None, [old, new]), ("--promote", [new, old]), ("--drop-old", [new])):
        for node in NODES:
            if step is not None:
                cluster.kage(node, "keygen", KEY_FILE, step)
            wait_held(cluster, node, keys)

    cluster.wait_heartbeats("db-01", 50)
    ended = now_s()
    cluster.wait_served(client)
    forge(cluster, key_a, "key")
    assert not [event for node in NODES for event in cluster.since(mark, node, *TROUBLE)]
    assert {node: cluster.agents[node].pid() for node in NODES} == pids
    assert {node: cluster.calls(node, "restore", "remove", "recover") for node in NODES} == moved
    outage_s = client.outage_s(begun, ended)
    client.stop()
    print(f"rotated in {ended - begun:.1f} s; longest gap in writes {outage_s * 1_000:.0f} ms")
    assert outage_s < DEAD_AFTER_S, "nothing failed over; the rest is what this machine does beside"


def test_a_step_that_the_peer_could_not_follow_and_a_broken_file_are_refused(cluster: Cluster) -> None:
    before, mark = key_file(cluster, "db-01").read_bytes(), now_ms()
    held = cluster.peer("db-02").keys
    cluster.kage("db-01", "keygen", KEY_FILE, "--add")  # and the copy to db-02 is forgotten
    cluster.kage("db-01", "keygen", KEY_FILE, "--promote")
    refused = cluster.wait_for(mark, "db-01", "config-refused")
    assert "db-02 doesn't hold key" in refused.text

    write(cluster, "db-01", b"broken\n")
    with pytest.raises(CommandFailed, match="key 1 is not 64 hex digits") as caught:
        cluster.kage_text("db-01", "config", "reload")
    assert "broken" not in str(caught.value)

    cluster.wait_heartbeats("db-02", 20)
    assert held[0] in cluster.peer("db-02").keys
    assert not cluster.since(mark, "db-02", "path-down", "peer-lost")
    write(cluster, "db-01", before)
    wait_held(cluster, "db-01", held)


def key_file(cluster: Cluster, node: str) -> Path:
    """The node's key file, as the test sees it."""
    return cluster.disk(node) / "etc/cluster.key"


def write(cluster: Cluster, node: str, content: bytes) -> None:
    """Replace a node's key file, in one step."""
    new = key_file(cluster, node).with_suffix(".new")
    new.write_bytes(content)
    new.chmod(0o400)
    new.replace(key_file(cluster, node))


def copy(cluster: Cluster, source: str, to: str) -> None:
    """What an operator does by scp."""
    write(cluster, to, key_file(cluster, source).read_bytes())


def wait_held(cluster: Cluster, node: str, keys: list[str]) -> None:
    """Until both nodes show that `node` holds these keys in this order."""
    cluster.wait_until(
        lambda: all(
            view.keys == keys
            for seen_by in NODES
            for view in cluster.status(seen_by).nodes
            if view.name == node
        ),
        WITHIN_S,
        f"{node} holds {keys}",
    )


def forge(cluster: Cluster, key: bytes, dropped_as: str) -> None:
    """Say something new to db-01 in db-02's name, sealed with this key, until it was dropped for that."""
    frame = HeartbeatFrame(
        sequence=1,
        challenge=bytes(8),
        echoes=(),
        leaving=True,
        version="",
        config_digest="",
        known=None,
        revision=None,
    )
    before = cluster.status("db-01").counters.dropped.get(dropped_as, 0)
    sealer = Sealer(Keyring([key]), NodeId("db-02"), incarnation=now_ms())
    datagram = sealer.seal(node_hash(NodeId("db-01")), path_hash(PathId("eni-0")), encode_heartbeat(frame))
    cluster.vpc.run(sys.executable, "-c", _SEND, datagram.hex(), "10.0.3.4")
    cluster.wait_until(
        lambda: cluster.status("db-01").counters.dropped.get(dropped_as, 0) > before,
        WITHIN_S,
        f"dropped as {dropped_as}",
    )
