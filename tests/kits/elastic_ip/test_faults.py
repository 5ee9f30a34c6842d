"""What the elastic-ip kit promises while AWS doesn't work."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from recovery_kits.contract import KitError, Unanswered
from recovery_kits.elastic_ip import ElasticIpKit
from tests.aws_server import throttle
from tests.kits.acting import Agent
from tests.kits.elastic_ip.conftest import Scene
from tests.kits.moved_address import Faults, Run
from tests.kits.troubles import unauthorized

DESCRIBE = "ec2:DescribeAddresses"


class TestElasticIp(Faults):
    """As every kit that moves one address by one call."""


def test_where_the_allocation_is_looked_up_that_too_may_go_unanswered(
    scene: Scene, agent: Agent, run: Run
) -> None:
    kit = scene.kit(agent, "db-02", allocation_id=None, public_ip=IPv4Address(scene.public))
    scene.server.control.set_faults(throttle(DESCRIBE))
    with pytest.raises(Unanswered):
        run(kit.restore())
    scene.server.control.set_faults(throttle(DESCRIBE, left=2))
    run(kit.restore())
    scene.server.control.set_faults(unauthorized(DESCRIBE))
    with pytest.raises(KitError, match="give the node's role ec2:DescribeAddresses") as caught:
        run(kit.restore())
    assert not isinstance(caught.value, Unanswered)


def test_what_validate_is_not_told_is_a_finding(db_01: ElasticIpKit, scene: Scene, run: Run) -> None:
    for operation in ("ec2:DescribeAddresses", "ec2:DescribeInternetGateways"):
        scene.server.control.set_faults(unauthorized(operation))
        (finding,) = run(db_01.validate())
        assert finding.remedy == f"give the node's role {operation}"
    scene.server.control.set_faults(throttle())
    (finding,) = run(db_01.validate())
    assert finding.remedy == "try again when AWS answers"
