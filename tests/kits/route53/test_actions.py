"""What the route53 kit promises while Route 53 works."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.config.errors import BadParameter
from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.route53 import Route53Kit, Route53Parameters
from recovery_kits.route53.parameters import HOSTNAME
from recovery_kits.route53.records import Reading, read_records
from tests.kits.fakes import Table
from tests.kits.route53.harness import NAME, OWNER, Node, Zone, owner

LIST, CHANGE, ASK = "ListResourceRecordSets", "ChangeResourceRecordSets", "GetChange"


def test_restore_leads_the_name_here_and_again_is_success(db_01: Node, zone: Zone) -> None:
    """Again is a new claim: it makes every change fail that was made of an older reading."""
    for serial in (1, 2):
        db_01.restore()
        assert zone.record() == ["10.0.3.4"]
        assert zone.record(OWNER, "TXT") == [owner("db-01", serial)]
        assert db_01.check().health is Health.OK


def test_the_other_node_takes_record_and_owner_over_in_one_change(
    db_01: Node, db_02: Node, zone: Zone
) -> None:
    db_01.restore()
    zone.server.forget_calls()
    db_02.restore()
    assert zone.operations() == [LIST, CHANGE, ASK, ASK, LIST]  # pending at first, then in sync
    assert zone.record() == ["10.0.6.4"]
    assert zone.record(OWNER, "TXT") == [owner("db-02", 2)]
    assert db_02.check().health is Health.OK


def test_remove_calls_nothing_and_leaves_the_record(db_01: Node, zone: Zone) -> None:
    db_01.restore()
    zone.server.forget_calls()
    for _ in range(2):
        db_01.remove()
    assert zone.operations() == []
    assert zone.record() == ["10.0.3.4"]


def test_a_check_is_one_call(db_01: Node, zone: Zone) -> None:
    db_01.restore()
    zone.server.forget_calls()
    for _ in range(2):
        assert db_01.check().health is Health.OK
    assert zone.operations() == [LIST] * 2
    assert Route53Kit.default_check_interval_ms == 30_000


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda zone: zone.put("10.0.9.9"), "leads to 10.0.9.9"),
        (lambda zone: zone.put("10.0.3.4", "10.0.6.4"), "leads to 10.0.3.4, 10.0.6.4"),
        (lambda zone: zone.put("10.0.3.4", ttl_s=300), "has a TTL of 300 s"),
        (Zone.delete, "doesn't exist"),
    ],
)
def test_drift_is_seen_and_put_back(
    db_01: Node, zone: Zone, change: Callable[[Zone], None], why: str
) -> None:
    db_01.restore()
    change(zone)
    check = db_01.check()
    assert (check.health, check.why) == (Health.FAILED, f"{NAME} {why}")
    db_01.recover()
    assert db_01.check().health is Health.OK
    assert zone.record() == ["10.0.3.4"]


def test_what_another_node_has_claimed_is_taken_back_by_no_recovery(
    db_01: Node, db_02: Node, zone: Zone
) -> None:
    """Two nodes that both believe to own it don't take it from each other for ever: the first gives way."""
    db_01.restore()
    db_02.restore()
    check = db_01.check()
    assert (check.health, check.why) == (Health.FAILED, f"{NAME} belongs to db-02")
    with pytest.raises(KitError, match="dns: recover: db-02 has claimed") as caught:
        db_01.recover()
    assert not isinstance(caught.value, Unanswered)
    assert zone.record() == ["10.0.6.4"]
    db_01.restore()  # a takeover is another matter
    assert zone.record() == ["10.0.3.4"]


def test_a_record_that_no_cluster_owns_is_left_alone_unless_adopted(db_01: Node, zone: Zone) -> None:
    zone.put("10.0.9.9", ttl_s=300)
    for _ in range(2):
        with pytest.raises(
            KitError, match=r"exists already \(10\.0\.9\.9\), and no cluster owns it; set adopt"
        ):
            db_01.restore()
    assert zone.record() == ["10.0.9.9"]
    assert CHANGE not in zone.operations()
    db_01.restore(adopt=True)
    assert zone.record() == ["10.0.3.4"]
    assert db_01.check().health is Health.OK


@pytest.mark.parametrize("other", [{"cluster": "other"}, {"tag": "dns-2"}])
def test_another_owners_record_is_left_alone_though_adoption_was_allowed(
    db_01: Node, other: dict[str, Any]
) -> None:
    replace(db_01, **other).restore()
    check = db_01.check()
    assert check.health is Health.FAILED
    assert "belongs to another" in check.why
    for act in (db_01.restore, db_01.recover):
        with pytest.raises(KitError, match=r"belongs to another.*delete the TXT record"):
            act(adopt=True)
    assert replace(db_01, **other).check().health is Health.OK


@pytest.mark.parametrize("text", ['"v=spf1 -all"', '"kagemusha cluster=lab"'])
def test_an_owner_that_cannot_be_read_is_another(db_01: Node, zone: Zone, text: str) -> None:
    zone.put(text, name=OWNER, kind="TXT")
    with pytest.raises(KitError, match="belongs to another"):
        db_01.restore(adopt=True)
    assert zone.record(OWNER, "TXT") == [text]


def test_an_alias_and_a_routing_policy_are_left_alone(db_01: Node, zone: Zone) -> None:
    zone.put_alias()
    with pytest.raises(KitError, match="alias or has a routing policy"):
        db_01.restore(adopt=True)
    zone.put("10.0.9.9", name="www.example.com", SetIdentifier="one", Weight=1)
    with pytest.raises(KitError, match="alias or has a routing policy"):
        db_01.restore(name="www.example.com", adopt=True)


def test_an_owner_lost_is_a_failure_and_not_made_up(db_01: Node, zone: Zone) -> None:
    db_01.restore()
    zone.delete(OWNER, "TXT", ttl_s=60)
    check = db_01.check()
    assert check.health is Health.FAILED
    assert "no cluster owns it" in check.why
    with pytest.raises(KitError, match="set adopt = true"):
        db_01.recover()


def test_each_type_has_an_owner_of_its_own(db_01: Node, zone: Zone) -> None:
    db_01.restore()
    six = replace(db_01, tag="dns6")
    six.restore(record_type="AAAA", value="FD00:0::4")
    assert zone.record(kind="AAAA") == ["fd00::4"]
    assert db_01.check().health is Health.OK
    assert six.check(record_type="AAAA", value="FD00:0::4").health is Health.OK


def test_a_cname_leads_to_another_name(db_01: Node, zone: Zone) -> None:
    for _ in range(2):
        db_01.restore(record_type="CNAME", value="DB-01.example.net.")
        assert zone.record(kind="CNAME") == ["db-01.example.net"]
    assert db_01.check(record_type="CNAME", value="db-01.example.net").health is Health.OK


def test_the_value_is_the_devices_own_address(db_01: Node, zone: Zone) -> None:
    addresses: list[dict[str, Any]] = [
        {"family": "inet6", "local": "fe80::1", "scope": "link"},
        {"family": "inet", "local": "10.0.3.50", "scope": "global", "secondary": True},
        {"family": "inet", "local": "10.0.3.7", "scope": "global"},
        {"family": "inet6", "local": "fd00::7", "scope": "global"},
    ]
    run = Table()
    run.answer("ip", "-json", "address", "show", "dev", "eth0", by=json.dumps([{"addr_info": addresses}]))
    node = replace(db_01, run=run)
    node.restore(device="eth0")
    assert zone.record() == ["10.0.3.7"]
    replace(node, tag="dns6").restore(device="eth0", record_type="AAAA")
    assert zone.record(kind="AAAA") == ["fd00::7"]


def test_a_node_without_such_an_address_fails_and_says_what_to_write(db_01: Node, zone: Zone) -> None:
    wish = "db-01's comm paths have no IPv6 address"
    with pytest.raises(KitError, match=f"{wish}: give `value` for db-01"):
        db_01.restore(record_type="AAAA")
    check = db_01.check(record_type="AAAA")
    assert (check.health, check.why) == (Health.FAILED, wish)
    assert zone.operations() == []


def test_an_answer_that_cannot_be_read_is_not_taken_for_a_missing_address(db_01: Node) -> None:
    kit = db_01.kit()

    async def look_at_nothing() -> Reading:
        return read_records({}, NAME, "A")

    kit._look = look_at_nothing  # type: ignore[method-assign]
    for action in (kit.restore, kit.quick_check):
        with pytest.raises(KeyError, match="ResourceRecordSets"):
            db_01.do(action())


@pytest.mark.parametrize(
    "name", ["example.com", "_a-b.example.com", "a.b-c.9.example.com", f"{'a' * 63}.com"]
)
def test_a_name_is_a_dns_name(name: str) -> None:
    assert re.fullmatch(HOSTNAME, name)


@pytest.mark.parametrize("name", ["com", "a..com", ".com", "-a.example.com", f"{'a' * 64}.com", "a.com."])
def test_what_is_no_dns_name_is_none(name: str) -> None:
    assert not re.fullmatch(HOSTNAME, name)


def test_the_owner_is_found_beyond_hundreds_of_other_names(db_01: Node, zone: Zone) -> None:
    db_01.restore()
    zone.put_many(f"{number:03}.{NAME}" for number in range(301))
    zone.server.forget_calls()
    assert db_01.check().health is Health.OK
    assert zone.operations() == [LIST] * 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ttl_ms": 1_500}, "ttl: write whole seconds"),
        ({"record_type": "CNAME"}, "value: missing; a CNAME needs"),
        ({"record_type": "AAAA", "value": "10.0.3.4"}, "value: '10.0.3.4' isn't an IPv6 address"),
        ({"value": "db-01.example.net"}, "value: 'db-01.example.net' isn't an IPv4 address"),
        ({"record_type": "CNAME", "value": "a b"}, "value: 'a b' isn't a name"),
        ({"value": "10.0.3.4", "device": "eth0"}, "device: write either"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(BadParameter, match=says):
        Route53Parameters(hosted_zone_id="Z1", name=NAME, **given)
