"""An address that moves late, and the ENI behind a device; over a scripted AWS."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Tools, Unanswered
from recovery_kits.private_ip import PrivateIpKit, PrivateIpParameters
from recovery_kits.private_ip import kit as kit_module
from tests.kits.acting import no_command
from tests.kits.private_ip.scripted import Devices, SlowAws

HERE, THERE = "eni-00000000000000003", "eni-00000000000000001"
ASSIGN, DESCRIBE = "assign_private_ip_addresses", "describe_network_interfaces"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many looks as usual, without the waits between them."""
    monkeypatch.setattr(kit_module, "SETTLE_S", (0.0,) * len(kit_module.SETTLE_S))


def kit(aws: SlowAws, interface: str | None = HERE) -> PrivateIpKit:
    tools = Tools(tag="private-ip-app", node="db-03", run=no_command, aws=aws)
    return PrivateIpKit(PrivateIpParameters(address=IPv4Address("10.0.3.50"), interface=interface), tools)


def test_restore_waits_until_the_address_has_come() -> None:
    aws = SlowAws(THERE, looks_until_moved=3)
    asyncio.run(kit(aws).restore())
    assert aws.holder == HERE
    assert aws.calls == [ASSIGN] + [DESCRIBE] * 4


def test_an_address_that_does_not_come_is_unknown_and_the_next_try_finds_it() -> None:
    """AWS accepted it: that another node would fare better is nothing one could know."""
    aws = SlowAws(THERE, looks_until_moved=7)
    with pytest.raises(Unanswered, match=r"accepted it and doesn't show it: 10\.0\.3\.50 is at no ENI"):
        asyncio.run(kit(aws).restore())
    assert aws.calls == [ASSIGN] + [DESCRIBE] * len(kit_module.SETTLE_S)
    aws.looks_until_moved = 0
    asyncio.run(kit(aws).restore())
    assert aws.holder == HERE


def test_the_interface_is_the_one_behind_the_device() -> None:
    aws = SlowAws(THERE, known=Devices({"eth0": HERE}))
    asyncio.run(kit(aws, interface=None).restore())
    assert aws.holder == HERE
    assert asyncio.run(kit(aws, interface=None).quick_check()).health is Health.OK


def test_an_interface_that_came_after_the_start_is_found() -> None:
    aws = SlowAws(THERE, fresh=Devices({"eth0": HERE}))
    asyncio.run(kit(aws, interface=None).restore())
    assert aws.holder == HERE


def test_a_device_that_is_not_there_is_a_failure_and_nothing_is_called() -> None:
    aws = SlowAws(THERE, fresh=Devices({"eth1": HERE}))
    with pytest.raises(KitError, match="there is no device eth0") as caught:
        asyncio.run(kit(aws, interface=None).restore())
    assert not isinstance(caught.value, Unanswered)
    assert asyncio.run(kit(aws, interface=None).quick_check()).health is Health.FAILED
    assert aws.calls == []


def test_without_metadata_nobody_can_tell_and_nothing_is_called() -> None:
    aws = SlowAws(THERE)
    with pytest.raises(Unanswered, match="instance metadata"):
        asyncio.run(kit(aws, interface=None).restore())
    assert asyncio.run(kit(aws, interface=None).quick_check()).health is Health.UNKNOWN
    assert aws.calls == []
