"""What the eni kit promises while AWS works."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.eni import EniKit, EniParameters
from recovery_kits.eni.link import Link, find_link
from tests.kits.attachment.harness import Zone
from tests.kits.eni.harness import DOWN, UP, Card, make_link
from tests.kits.fakes import failed

LOOK, ATTACH, DETACH = "DescribeNetworkInterfaces", "AttachNetworkInterface", "DetachNetworkInterface"
NO_INTERFACE = "eni-0123456789abcdef0"


def test_restore_attaches_a_free_interface_sets_it_up_and_again_is_one_look(card: Card, zone: Zone) -> None:
    card.restore("db-03")
    assert zone.operations() == [LOOK, ATTACH, LOOK]
    assert card.is_up("db-03")
    card.restore("db-03")
    assert zone.operations()[3:] == [LOOK]
    assert card.ip["db-03"].calls == ["eth2 up"]
    assert card.at() == "db-03"
    assert card.health("db-03") is Health.OK


def test_restore_takes_it_from_the_former_owner(card: Card, zone: Zone) -> None:
    card.attach("db-01")
    card.restore("db-03")
    assert zone.changes() == [DETACH, ATTACH]
    assert card.at() == "db-03"


@pytest.mark.parametrize("stopped", [True, False])
def test_force_is_for_a_former_owner_that_is_off(
    card: Card, zone: Zone, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    card.attach("db-01")
    if stopped:
        zone.stop("db-01")
    sent: list[dict[str, Any]] = []
    call = zone.agent.aws.call

    async def listening(service: Any, operation: str, **parameters: Any) -> dict[str, Any]:
        if operation == "detach_network_interface":
            sent.append(parameters)
        return await call(service, operation, **parameters)

    monkeypatch.setattr(zone.agent.aws, "call", listening)
    card.restore("db-03")
    assert [parameters["Force"] for parameters in sent] == [stopped]


def test_it_is_not_taken_from_a_running_machine_outside_the_hierarchy(card: Card, zone: Zone) -> None:
    card.attach("stranger")
    with pytest.raises(KitError, match="which is running and no node of this hierarchy") as caught:
        card.restore("db-03")
    assert not isinstance(caught.value, Unanswered)
    assert zone.changes() == []
    zone.stop("stranger")
    card.restore("db-03")
    assert card.at() == "db-03"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"in_zone": "c"}, "is in a subnet of ap-northeast-1a, which it can't leave; this node is in .*-1c"),
        ({"mac": "0a:1b:2c:3d:4e:5f"}, "has the MAC address .*, not 0a:1b:2c:3d:4e:5f; set mac = "),
    ],
)
def test_what_could_never_be_attached_here_is_refused_before_anything_is_detached(
    card: Card, zone: Zone, changes: dict[str, Any], says: str
) -> None:
    card.attach("db-01")
    with pytest.raises(KitError, match=says) as caught:
        card.restore("db-03", **changes)
    assert not isinstance(caught.value, Unanswered)
    assert zone.changes() == []
    (finding,) = card.validate("db-03", **changes)
    assert finding.remedy in str(caught.value)


def test_a_primary_interface_is_refused(card: Card, zone: Zone) -> None:
    primary = zone.world.node("db-01").interfaces[0]
    (finding,) = card.validate("db-03", interface=primary.id, mac=primary.mac)
    assert finding.problem.endswith(
        "is the primary interface of " + zone.instances["db-01"] + ", which can't be detached"
    )


def test_restore_waits_for_the_device(card: Card) -> None:
    card.hide("db-03")
    kit = card.kit("db-03", wait_ms=60_000)

    async def appears_once_attached() -> None:
        restoring = asyncio.create_task(kit.restore())
        while card.at() is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not restoring.done()
        card.show("db-03")
        await restoring

    card.zone.agent.run(appears_once_attached())
    assert card.is_up("db-03")


def test_a_device_that_never_appears_is_a_failure(card: Card) -> None:
    card.hide("db-03")
    with pytest.raises(KitError, match=f"is attached, but no device has the MAC address {card.mac}"):
        card.restore("db-03", wait_ms=300)
    card.show("db-03")
    card.restore("db-03")


@pytest.mark.parametrize("idle", [True, False])
def test_a_link_that_cannot_be_set_is_a_failure(card: Card, idle: bool) -> None:
    for ip in card.ip.values():
        ip.idle, ip.fails = idle, None if idle else failed("ip", output="Operation not permitted")
    with pytest.raises(KitError, match="eth2 is down" if idle else "Operation not permitted"):
        card.restore("db-03")
    card.show("db-01", UP)
    with pytest.raises(KitError, match="the link is up" if idle else "Operation not permitted"):
        card.remove("db-01")


def test_remove_sets_the_link_down_calls_nothing_and_leaves_it_attached(card: Card, zone: Zone) -> None:
    card.attach("db-01")
    card.show("db-01", UP)
    for _ in range(2):
        card.remove("db-01")
    assert not card.is_up("db-01")
    assert card.ip["db-01"].calls == ["eth2 down"]
    assert zone.operations() == []
    assert card.at() == "db-01"


def test_remove_without_the_device_is_success(card: Card, zone: Zone) -> None:
    card.hide("db-01")
    card.remove("db-01")
    assert card.ip["db-01"].calls == zone.operations() == []


def test_a_check_is_one_call_and_says_what_is_wrong(card: Card, zone: Zone) -> None:
    assert EniKit.default_check_interval_ms == 30_000
    assert card.check("db-03").why == f"{card.id} is attached to nothing"
    card.attach("db-01")
    assert card.check("db-03").why == f"{card.id} is attached at {zone.instances['db-01']}"
    assert card.check("db-01").why == "eth2 is down"
    card.show("db-01", UP)
    assert card.health("db-01") is Health.OK
    card.hide("db-01")
    check = card.check("db-01")
    assert (check.health, check.why) == (Health.FAILED, f"no device has the MAC address {card.mac}")
    assert zone.operations() == [LOOK] * 5
    assert card.check("db-01", interface=NO_INTERFACE).health is Health.FAILED


def test_details_tell_what_the_last_look_saw(card: Card, zone: Zone) -> None:
    card.attach("db-01")
    kit = card.kit("db-01")
    zone.agent.run(kit.quick_check())
    assert kit.details() == {
        "interface": card.id,
        "device": "eth2",
        "attached_to": zone.instances["db-01"],
        "attachment": "attached",
        "zone": "ap-northeast-1a",
    }


def test_recover_takes_a_stolen_interface_back(card: Card) -> None:
    card.attach("db-01")
    card.zone.agent.run(card.kit("db-03").recover())
    assert card.at() == "db-03"


@pytest.mark.parametrize("node", ["db-01", "db-03"])
def test_nothing_is_found_where_all_is_well_and_nothing_changes(card: Card, node: str) -> None:
    assert card.validate(node) == []
    assert card.at() is None
    card.attach("db-01")
    assert card.validate(node) == []
    assert card.at() == "db-01"


def test_a_missing_interface_is_found(card: Card) -> None:
    (finding,) = card.validate("db-01", interface=NO_INTERFACE)
    assert finding.problem == f"{NO_INTERFACE} doesn't exist in this region"


def test_a_device_index_that_is_taken_is_found(card: Card, zone: Zone) -> None:
    (finding,) = card.validate("db-01", device_index=1)
    taken = zone.world.node("db-01").interfaces[1].id
    assert finding.problem == f"{taken} has the device index 1 on {zone.instances['db-01']}"


def test_a_machine_that_it_will_not_be_taken_from_is_found(card: Card) -> None:
    card.attach("stranger")
    (finding,) = card.validate("db-03")
    assert finding.problem.endswith("which is running and no node of this hierarchy")
    assert finding.remedy.startswith("aws ec2 detach-network-interface --attachment-id eni-attach-")


def test_an_interface_that_dies_with_its_instance_is_found_with_the_command_that_mends_it(
    card: Card, zone: Zone
) -> None:
    card.attach("db-01")
    answer = card.described(attachment={"DeleteOnTermination": True})
    with zone.told("describe_network_interfaces", answer):
        (finding,) = card.validate("db-03")
    assert "is deleted when" in finding.problem
    assert finding.remedy.endswith(",DeleteOnTermination=false")


@pytest.mark.parametrize("state", ["attaching", "detaching"])
def test_while_it_comes_or_goes_with_its_device_there_a_check_is_unknown(
    card: Card, zone: Zone, state: str
) -> None:
    card.attach("db-01")
    card.show("db-01", UP)
    with zone.told("describe_network_interfaces", card.described(attachment={"Status": state})):
        assert card.health("db-01") is Health.UNKNOWN
        card.hide("db-01")
        assert card.health("db-01") is Health.FAILED


@pytest.mark.parametrize("changes", [{"RequesterManaged": True}, {"InterfaceType": "nat_gateway"}])
def test_an_interface_of_awss_own_is_refused(card: Card, zone: Zone, changes: dict[str, Any]) -> None:
    with (
        zone.told("describe_network_interfaces", card.described(**changes)),
        pytest.raises(KitError, match=r"interface of AWS's own; create one for the cluster"),
    ):
        card.restore("db-03")
    assert zone.changes() == []


def test_a_missing_program_is_found(card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = card.validate("db-03")
    assert finding.problem == "there is no ip(8)"


def test_permissions_are_what_the_actions_and_validate_call(card: Card, zone: Zone) -> None:
    card.attach("db-01")
    card.validate("db-03")
    card.restore("db-03")
    card.check("db-03")
    card.remove("db-03")
    stated = EniKit.permissions(EniParameters(interface=card.id, mac=card.mac))
    assert {f"ec2:{each}" for each in zone.operations()} == {a for each in stated for a in each.actions}
    moving, seeing = stated
    assert moving.resources[0].endswith(f":network-interface/{card.id}")
    assert seeing.resources == ("*",)


def test_a_device_is_known_by_its_mac_address_and_what_borrows_it_is_not_taken_for_it(tmp_path: Path) -> None:
    mac = "0a:1b:2c:3d:4e:5f"
    assert find_link(tmp_path, mac) is None
    make_link(tmp_path, "br0", mac, UP, real=False)
    make_link(tmp_path, "eth0", "0a:1b:2c:3d:4e:00", UP)
    (tmp_path / "sys/class/net/bonding_masters").write_text("")
    assert find_link(tmp_path, mac) is None
    make_link(tmp_path, "eth1", mac, DOWN)
    assert find_link(tmp_path, mac) == Link("eth1", up=False)
