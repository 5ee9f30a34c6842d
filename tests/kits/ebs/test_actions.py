"""What the ebs kit promises while AWS works."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.config.errors import BadParameter
from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.ebs import EbsKit, EbsParameters
from tests.kits.attachment.harness import Zone
from tests.kits.ebs.harness import CLAIM, Disk
from tests.kits.fakes import failed

NO_VOLUME = "vol-0123456789abcdef0"


def test_restore_attaches_a_free_volume_and_again_is_one_look(disk: Disk, zone: Zone) -> None:
    disk.restore("db-03")
    assert zone.operations() == ["DescribeVolumes", "AttachVolume", "DescribeVolumes"]
    disk.restore("db-03")
    assert zone.operations()[3:] == ["DescribeVolumes"]
    assert disk.at() == "db-03"
    assert disk.health("db-03") is Health.OK


def test_restore_takes_it_from_the_former_owner(disk: Disk, zone: Zone) -> None:
    disk.attach("db-01")
    disk.restore("db-03")
    assert zone.changes() == ["DetachVolume", "AttachVolume"]
    assert disk.at() == "db-03"


@pytest.mark.parametrize("stopped", [True, False])
def test_force_is_for_a_former_owner_that_is_off(
    disk: Disk, zone: Zone, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.attach("db-01")
    if stopped:
        zone.stop("db-01")
    sent: list[tuple[str, Mapping[str, Any]]] = []
    call = zone.agent.aws.call

    async def listening(service: Any, operation: str, **parameters: Any) -> dict[str, Any]:
        sent.append((operation, parameters))
        return await call(service, operation, **parameters)

    monkeypatch.setattr(zone.agent.aws, "call", listening)
    disk.restore("db-03")
    (detached,) = [parameters for operation, parameters in sent if operation == "detach_volume"]
    assert detached["Force"] is stopped
    assert detached["InstanceId"] == zone.instances["db-01"]


def test_it_is_not_taken_from_a_running_machine_outside_the_hierarchy(disk: Disk, zone: Zone) -> None:
    disk.attach("stranger")
    with pytest.raises(KitError, match="which is running and no node of this hierarchy") as caught:
        disk.restore("db-03")
    assert not isinstance(caught.value, Unanswered)
    assert zone.changes() == []
    zone.stop("stranger")
    disk.restore("db-03")
    assert disk.at() == "db-03"


def test_a_node_in_another_zone_is_refused_before_anything_is_detached(disk: Disk, zone: Zone) -> None:
    disk.attach("db-01")
    with pytest.raises(KitError, match=r"is in ap-northeast-1a, which it can't leave.*use the kit mirror"):
        disk.restore("db-03", in_zone="c")
    assert zone.changes() == []
    (finding,) = disk.validate("db-03", in_zone="c")
    assert "mirror" in finding.remedy


def test_multi_attach_is_refused_with_the_reason(zone: Zone, tmp_path: Path) -> None:
    shared = Disk(zone, tmp_path, VolumeType="io2", Iops=100, MultiAttachEnabled=True)
    with pytest.raises(KitError, match="keeps no other node from writing"):
        shared.restore("db-03")
    assert zone.changes() == []
    (finding,) = shared.validate("db-03")
    assert "multi-attach" in finding.problem


def test_restore_waits_for_the_device(disk: Disk) -> None:
    disk.hide("db-03")
    kit = disk.kit("db-03", wait_ms=60_000)

    async def appears_once_attached() -> None:
        restoring = asyncio.create_task(kit.restore())
        while kit.details()["attached_to"] is None and disk.at() is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not restoring.done()
        disk.show("db-03")
        await restoring

    disk.zone.agent.run(appears_once_attached())


def test_a_device_that_never_appears_is_a_failure_that_says_where_it_was_looked_for(disk: Disk) -> None:
    disk.hide("db-03")
    with pytest.raises(KitError, match=r"is attached, but there is no .*nvme-Amazon.*device_link") as caught:
        disk.restore("db-03", wait_ms=300)
    assert not isinstance(caught.value, Unanswered)
    disk.show("db-03")
    disk.restore("db-03")


def test_the_device_may_be_expected_elsewhere(disk: Disk) -> None:
    disk.hide("db-03")
    (disk.root("db-03") / "dev/xvdf").touch()
    disk.restore("db-03", device_link=Path("/dev/xvdf"))
    for outside in ("/mnt/xvdf", "/dev/../mnt/xvdf"):
        with pytest.raises(BadParameter, match=f"device_link: {outside}: write a path below /dev"):
            EbsParameters(volume=disk.id, device_link=Path(outside))


def test_remove_flushes_what_nobody_uses_calls_nothing_and_leaves_it_attached(disk: Disk, zone: Zone) -> None:
    disk.attach("db-01")
    for _ in range(2):
        disk.remove("db-01")
    device = str(disk.device("db-01"))
    commands = [call[-2:] if call[0] == "blockdev" else call[-1:] for call in disk.run.calls]
    assert commands == [(device,), ("--flushbufs", device)] * 2
    assert zone.operations() == []
    assert disk.at() == "db-01"


def test_remove_fails_while_something_uses_the_device(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recovery_kits.ebs.kit.CLAIM_GRACE_S", 0.0)
    disk.run.answer(*CLAIM, by=failed("python", output="Device or resource busy"))
    with pytest.raises(KitError, match=r"still uses .*Device or resource busy"):
        disk.remove("db-01")
    assert not [call for call in disk.run.calls if call[0] == "blockdev"]


def test_remove_fails_when_it_cannot_flush_a_device_that_is_there(disk: Disk) -> None:
    disk.run.answer("blockdev", "--flushbufs", by=failed("blockdev", output="Input/output error"))
    with pytest.raises(KitError, match="Input/output error"):
        disk.remove("db-01")


def test_remove_without_the_device_is_success(disk: Disk, zone: Zone) -> None:
    disk.hide("db-01")
    disk.remove("db-01")
    assert disk.run.calls == []
    assert zone.operations() == []


def test_remove_may_ask_to_detach_it_from_here_alone(disk: Disk, zone: Zone) -> None:
    disk.attach("db-01")
    disk.remove("db-01", detach_on_remove=True)
    assert zone.operations() == ["DetachVolume"]
    assert disk.at() is None
    disk.attach("db-03")
    disk.remove("db-01", detach_on_remove=True)  # it has been taken already
    assert disk.at() == "db-03"
    assert "stays attached for now: DetachVolume: InvalidAttachment.NotFound" in zone.logged[-1]


def test_a_check_is_one_call_and_says_where_the_volume_is(disk: Disk, zone: Zone) -> None:
    assert EbsKit.default_check_interval_ms == 30_000
    assert disk.check("db-03").why == f"{disk.id} is attached to nothing"
    disk.attach("db-01")
    check = disk.check("db-03")
    assert check.health is Health.FAILED
    assert check.why == f"{disk.id} is attached at {zone.instances['db-01']}"
    assert disk.health("db-01") is Health.OK
    assert zone.operations() == ["DescribeVolumes"] * 3


def test_a_check_fails_without_the_device_or_the_volume(disk: Disk) -> None:
    disk.attach("db-01")
    disk.hide("db-01")
    assert disk.check("db-01").why == f"there is no {disk.device('db-01')}"
    gone = disk.check("db-01", volume=NO_VOLUME)
    assert gone.health is Health.FAILED
    assert "InvalidVolume.NotFound" in gone.why


def test_details_tell_what_the_last_look_saw(disk: Disk, zone: Zone) -> None:
    disk.attach("db-01")
    kit = disk.kit("db-03")
    assert kit.details()["attached_to"] is None
    zone.agent.run(kit.quick_check())
    assert kit.details() == {
        "volume": disk.id,
        "device": "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_" + disk.id.replace("-", ""),
        "attached_to": zone.instances["db-01"],
        "attachment": "attached",
        "zone": "ap-northeast-1a",
    }


def test_recover_takes_a_stolen_volume_back(disk: Disk) -> None:
    disk.attach("db-01")
    disk.zone.agent.run(disk.kit("db-03").recover())
    assert disk.at() == "db-03"


@pytest.mark.parametrize("node", ["db-01", "db-03"])
def test_nothing_is_found_where_all_is_well_and_nothing_changes(disk: Disk, node: str) -> None:
    assert disk.validate(node) == []
    assert disk.at() is None
    disk.attach("db-01")
    assert disk.validate(node) == []
    assert disk.at() == "db-01"


def test_a_missing_volume_is_found(disk: Disk) -> None:
    (finding,) = disk.validate("db-01", volume=NO_VOLUME)
    assert finding.problem == f"{NO_VOLUME} doesn't exist in this region"


def test_a_device_name_that_is_taken_is_found(disk: Disk, zone: Zone, tmp_path: Path) -> None:
    other = Disk(zone, tmp_path / "other")
    other.attach("db-03")
    (finding,) = disk.validate("db-03")
    assert finding.problem == f"/dev/sdf is the name of {other.id} on {zone.instances['db-03']}"
    assert disk.validate("db-03", device_name="/dev/sdg") == []


def test_a_machine_that_it_will_not_be_taken_from_is_found(disk: Disk, zone: Zone) -> None:
    disk.attach("stranger")
    (finding,) = disk.validate("db-03")
    assert finding.problem.endswith("which is running and no node of this hierarchy")
    assert f"aws ec2 detach-volume --volume-id {disk.id}" in finding.remedy


def test_a_volume_that_dies_with_its_instance_is_found_with_the_command_that_mends_it(
    disk: Disk, zone: Zone
) -> None:
    disk.attach("db-01")
    with zone.told("describe_volumes", disk.described(attachment={"DeleteOnTermination": True})):
        (finding,) = disk.validate("db-03")
    assert finding.problem == f"{disk.id} is deleted when {zone.instances['db-01']} is terminated"
    mapping = '[{"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": false}}]'
    assert finding.remedy.endswith(f"--block-device-mappings '{mapping}'")


@pytest.mark.parametrize("state", ["attaching", "detaching", "busy"])
def test_while_it_comes_or_goes_with_its_device_there_a_check_is_unknown(
    disk: Disk, zone: Zone, state: str
) -> None:
    disk.attach("db-01")
    with zone.told("describe_volumes", disk.described(attachment={"State": state})):
        assert disk.health("db-01") is Health.UNKNOWN
        disk.hide("db-01")
        assert disk.health("db-01") is Health.FAILED


def test_a_volume_that_is_broken_is_refused_with_its_state(disk: Disk, zone: Zone) -> None:
    with (
        zone.told("describe_volumes", disk.described(State="error")),
        pytest.raises(KitError, match="is in the state error"),
    ):
        disk.restore("db-03")
    assert zone.changes() == []


def test_a_missing_program_is_found(disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = disk.validate("db-03")
    assert finding.problem == "there is no blockdev(8)"


def test_permissions_are_what_the_actions_and_validate_call(disk: Disk, zone: Zone) -> None:
    disk.attach("db-01")
    disk.validate("db-03")
    disk.restore("db-03")
    disk.check("db-03")
    disk.remove("db-03", detach_on_remove=True)
    stated = EbsKit.permissions(EbsParameters(volume=disk.id))
    assert {f"ec2:{each}" for each in zone.operations()} == {a for each in stated for a in each.actions}
    moving, seeing = stated
    assert moving.resources[0].endswith(f":volume/{disk.id}")
    assert seeing.resources == ("*",)
