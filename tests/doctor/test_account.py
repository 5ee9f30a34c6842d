"""What is decided from what the account tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_network

import pytest

from agent.config.model import Config
from agent.core.ids import NodeId
from agent.doctor import account
from agent.doctor.cloud import Cloud
from agent.doctor.contract import Outcome, Untold, Verdict
from tests.doctor.clouds import GOOD, ROUTE, config, problems, table, with_instance, with_interface

DB_01 = NodeId("db-01")
Decide = Callable[[Config, Cloud], Iterable[Verdict]]


def addresses(configured: Config, cloud: Cloud) -> Iterable[Verdict]:
    return account.addresses(configured, cloud, DB_01)


def metadata(configured: Config, cloud: Cloud) -> Iterable[Verdict]:
    return account.metadata(configured, cloud, in_container=False)


EVERY: tuple[Decide, ...] = (
    addresses,
    metadata,
    account.zones,
    account.profiles,
    account.source_checks,
    account.virtual_addresses,
    account.client_routes,
)


@pytest.mark.parametrize("decide", EVERY)
def test_where_all_is_well_each_says_what_is_so(decide: Decide) -> None:
    verdicts = list(decide(config(), GOOD))
    assert verdicts
    assert problems(verdicts) == []


BAD: dict[str, tuple[Decide, Cloud, str, str]] = {
    "an address that nothing has": (
        addresses,
        replace(
            GOOD, interfaces={"10.0.3.4": with_interface(1).interface(config().paths[0].addresses[DB_01])}
        ),
        "db-02: no ENI of this account has 10.0.6.4",
        "describe-network-interfaces",
    ),
    "an ENI that is attached to nothing": (
        addresses,
        with_interface(2, instance=None),
        "db-02: its addresses lead to no instance",
        "attach",
    ),
    "another machine": (
        addresses,
        replace(GOOD, me="i-9"),
        "db-01 is i-1, and this machine is i-9",
        "--node",
    ),
    "a node that is stopped": (
        addresses,
        with_instance(2, state="stopped"),
        "db-02: i-2 is stopped",
        "start-instances --instance-ids i-2",
    ),
    "one zone": (
        account.zones,
        with_instance(2, zone="ap-northeast-1a"),
        "all nodes of app are in ap-northeast-1a: the loss of that zone stops it",
        "another availability zone",
    ),
    "IMDS off": (
        metadata,
        with_instance(1, metadata_endpoint="disabled"),
        "db-01: IMDS is off on i-1",
        "--http-endpoint enabled",
    ),
    "no role": (
        account.profiles,
        with_instance(2, has_profile=False),
        "db-02: i-2 has no instance profile, so the agent has no credentials there",
        "associate-iam-instance-profile --instance-id i-2",
    ),
    "packets dropped on the other node": (
        account.source_checks,
        with_interface(2, checks_source=True),
        "it on db-02: the source/dest check of eni-2 is on, so it drops the packets",
        "--network-interface-id eni-2 --no-source-dest-check",
    ),
    "a virtual address of the VPC's": (
        account.virtual_addresses,
        replace(GOOD, vpcs={"vpc-1": (ip_network("10.0.0.0/15"),)}),
        "10.1.0.10/32 is within 10.0.0.0/15 of vpc-1",
        "outside",
    ),
    "a table without a subnet": (
        account.client_routes,
        replace(GOOD, tables={each.id: each for each in (table("a", "subnet-a"), table("c"))}),
        "no subnet is associated with rtb-0000000000000000c: its route serves nobody",
        "associate-route-table --route-table-id rtb-0000000000000000c",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_amiss_is_named_with_what_mends_it(name: str) -> None:
    decide, cloud, text, remedy = BAD[name]
    (bad,) = problems(decide(config(), cloud))
    assert (bad.outcome, bad.text) == (Outcome.PROBLEM, text)
    assert remedy in bad.remedy


def test_a_container_is_one_hop_further_from_imds() -> None:
    first, second = account.metadata(config(), with_instance(2, hop_limit=2), in_container=True)
    assert first.outcome is Outcome.PROBLEM
    assert "--http-put-response-hop-limit 2" in first.remedy
    assert second.outcome is Outcome.OK


def test_what_no_answer_tells_is_unknown() -> None:
    (bad,) = problems(metadata(config(), with_instance(1, hop_limit=None)))
    assert bad.outcome is Outcome.UNKNOWN
    (other,) = problems(account.source_checks(config(), with_interface(2, index=1)))
    assert other.outcome is Outcome.UNKNOWN
    assert other.remedy == "kage doctor on db-02"
    for decide in EVERY:
        gap = Untold("throttled")
        away = Cloud(me=gap, interfaces=gap, instances=gap, groups=gap, vpcs=gap, tables=gap, subnets=gap)
        try:
            verdicts = list(decide(config(), away))
        except Untold:
            continue
        assert {each.outcome for each in verdicts} == {Outcome.UNKNOWN}


def test_the_main_table_serves_subnets_that_have_no_table_of_their_own() -> None:
    cloud = replace(GOOD, tables={each.id: each for each in (table("a", "subnet-a"), table("c", main=True))})
    (good,) = account.client_routes(config(), cloud)
    assert good.text == "clients in subnet-1, subnet-2, subnet-a, subnet-c reach it; those in no subnet don't"


@pytest.mark.parametrize("by", ["vip", "tag:cluster=lab"])
def test_tables_that_the_kit_will_find_are_looked_at(by: str) -> None:
    found = {"destinations": frozenset({"10.1.0.10/32"}), "tags": {"cluster": "lab"}}
    cloud = replace(GOOD, tables={each.id: each for each in (table("a", "subnet-a"), table("c", **found))})
    resource = f'{ROUTE.partition("route_tables")[0]}route_tables_by = "{by}"\n'
    (bad,) = problems(account.client_routes(config(resource), cloud))
    assert bad.text.startswith("no subnet is associated with rtb-0000000000000000c")
