"""Two parts of the demo: the nodes lose sight of each other, and the owner is cut off from everything."""

from __future__ import annotations

from tests.aws_server import Call
from tests.demo.stage import WITHIN_S, chronicle, fully_up, measured, require, require_routes, say
from tests.machines.client import Client, now_s
from tests.machines.lab import HIERARCHY, NODES, ClusterLab

PARTED_S = 5.0  # more than two grants long


def part(lab: ClusterLab, client: Client) -> tuple[float, list[str]]:
    """Cut both paths between the nodes, which both reach AWS, and heal them: the outage, what they did."""
    since, before = now_s(), len(_votes(lab))
    lab.network.part(*NODES)
    lab.wait_until(
        lambda: now_s() > since + PARTED_S and all(_lost(lab, node) for node in NODES),
        WITHIN_S,
        "both nodes have lost sight of each other",
    )
    outage_s = measured(lab, client, since)
    votes = [call.key.removeprefix("AKIA").lower() for call in _votes(lab)[before:]]
    require(lab.in_service("db-02"), f"{HIERARCHY} is not in service on db-02, which may run it")
    states = {each.nodes["db-01"].state for each in lab.hierarchy("db-01").resources}
    require(states == {"OSU"}, f"db-01 runs some of {HIERARCHY}")
    require("db-02" in votes, "db-02 didn't ask the arbiter")
    told = chronicle(lab, since, *NODES)
    for each in told:
        say(each)
    say(f"asked the arbiter for a vote: db-02 {votes.count('db-02')} times, db-01 {votes.count('db-01')}")
    for node in NODES:
        print("\n" + lab.kage_text(node, "status"))

    lab.network.heal()
    fully_up(lab, "db-02")
    require_routes(lab, lab.cloud.routes(), "db-02")
    return outage_s, told


def cut_off(lab: ClusterLab, client: Client) -> tuple[float, float, list[str]]:
    """Cut db-01 off from everything: the outage, when db-01 was harmless (both in s), and what was done."""
    lab.start_pulse("db-01")
    since = now_s()
    lab.network.cut("db-01")
    lab.wait_in_service("db-02", WITHIN_S)
    outage_s = measured(lab, client, since)
    require(not lab.machines["db-01"].on, "db-01 didn't fence itself")
    harmless_s = lab.last_pulse_ms("db-01") / 1_000 - since
    started_s = lab.first_restore_ms(round(since * 1_000), "db-02") / 1_000 - since
    told = [
        *chronicle(lab, since, "db-02"),
        f"+{harmless_s:5.2f} s  db-01 has cut its own power: nothing runs there",
        f"+{started_s:5.2f} s  db-02 begins to restore",
    ]
    for each in sorted(told):
        say(each)
    require(harmless_s < started_s, "db-02 began while something still ran on db-01")
    require_routes(lab, lab.cloud.routes(), "db-02")
    return outage_s, harmless_s, sorted(told)


def _lost(lab: ClusterLab, node: str) -> bool:
    return all(each.standing in {"self", "lost"} for each in lab.status(node).nodes)


def _votes(lab: ClusterLab) -> list[Call]:
    return lab.cloud.journal("dynamodb:PutItem")
