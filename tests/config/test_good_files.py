"""What a right file becomes."""

from __future__ import annotations

import hashlib
import tomllib
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from agent.config import load, parse
from agent.config.arbiter import DynamoDbParameters
from agent.config.model import AwsSetup, Config, SelfFence
from agent.core.ids import HierarchyId, NodeId, PathId, Tag
from agent.core.model import Heartbeat, Hierarchy, Limits, Resource
from agent.core.states import Fencing, OnAuthorityLost, Quorum, Switchback
from tests.config.fakes import GOOD, KITS, SOURCE, AddressParameters, ScriptParameters

DB1, DB2 = NodeId("db-01"), NodeId("db-02")


def parsed(*changes: tuple[str, str], append: str = "") -> Config:
    """good.toml with some of its text replaced."""
    text = GOOD
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return parse(text + append, SOURCE, KITS)


def resource(config: Config, tag: str) -> Resource:
    return next(one for each in config.cluster.hierarchies for one in each.resources if one.tag == tag)


def test_the_smallest_file_has_sensible_defaults() -> None:
    config = parsed()
    assert config.source == SOURCE
    assert config.digest == hashlib.sha256(GOOD.encode()).hexdigest()[:12]
    assert config.cluster.name == "shop"
    assert config.cluster.nodes == (DB1, DB2)
    assert config.cluster.heartbeat == Heartbeat(interval_ms=250, dead_after_ms=2_000)
    assert config.cluster.quorum is Quorum.MAJORITY
    assert (config.cluster.voters, config.cluster.margin_ms) == (3, 100)
    assert config.cluster.fencing is Fencing.NONE
    assert config.cluster.on_authority_lost is OnAuthorityLost.REBOOT
    assert config.arbiter == DynamoDbParameters(table="kagemusha")
    assert (config.fencing_levels, config.watchdog, config.isolation_check) == ((), None, ())
    assert config.cluster.startup_grace_ms == 30_000
    assert config.key_file == Path("/etc/kagemusha/cluster.key")
    assert (config.aws, config.self_fence) == (AwsSetup(), SelfFence())
    (hierarchy,) = config.cluster.hierarchies
    assert (hierarchy.name, hierarchy.nodes) == ("app", (DB1, DB2))
    assert hierarchy == Hierarchy(name=HierarchyId("app"), nodes=(DB1, DB2), resources=hierarchy.resources)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('preset = "fast"', Heartbeat(interval_ms=37, dead_after_ms=300)),
        ('preset = "conservative"', Heartbeat(interval_ms=1_250, dead_after_ms=10_000)),
        ('preset = "fast"\ndead_after = "111ms"', Heartbeat(interval_ms=37, dead_after_ms=111)),
        ('heartbeat_interval = "100ms"', Heartbeat(interval_ms=100, dead_after_ms=2_000)),
        (
            'heartbeat_interval = "1s"\ndead_after = "1min"',
            Heartbeat(interval_ms=1_000, dead_after_ms=60_000),
        ),
    ],
)
def test_a_preset_can_be_overridden(settings: str, expected: Heartbeat) -> None:
    assert parsed(('name = "shop"', f'name = "shop"\n{settings}')).cluster.heartbeat == expected


def test_comm_paths_are_by_priority_with_a_port_each() -> None:
    config = parsed(("priority = 1", "priority = 9"), ("priority = 2", "priority = 3\nport = 7500"))
    assert [(path.name, path.priority, path.port) for path in config.paths] == [
        (PathId("back"), 3, 7500),
        (PathId("front"), 9, 7400),
    ]
    assert [path.name for path in config.cluster.paths] == ["back", "front"]
    assert config.paths[1].addresses == {DB1: IPv4Address("10.0.3.4"), DB2: IPv4Address("10.0.6.4")}


def test_a_comm_path_may_be_ipv6() -> None:
    config = parsed(('"10.0.3.4"', '"fd00::3"'), ('"10.0.6.4"', '"fd00::6"'))
    assert config.paths[0].addresses[DB2] == IPv6Address("fd00::6")


def test_three_nodes_are_a_cluster_too() -> None:
    config = parsed(
        ('db-02 = "10.0.6.4"', 'db-02 = "10.0.6.4"\ndb-03 = "10.0.7.4"'),
        ('db-02 = "10.0.14.4"', 'db-02 = "10.0.14.4"\ndb-03 = "10.0.15.4"'),
    )
    assert config.cluster.nodes == (DB1, DB2, NodeId("db-03"))
    assert config.cluster.hierarchies[0].nodes == (DB1, DB2)
    assert set(config.resources[Tag("vip")].parameters) == {DB1, DB2}


def test_what_has_no_way_to_recover_has_no_local_recovery() -> None:
    assert not resource(parsed(), "server").local_recovery
    scripts = 'kit = "script"\nrecover = "/mend"'
    assert resource(parsed(('kit = "script"', scripts)), "server").local_recovery


def test_a_cluster_may_begin_without_hierarchies() -> None:
    assert parse(GOOD[: GOOD.index("[hierarchy.app]")], SOURCE, KITS).cluster.hierarchies == ()


def test_a_hierarchy_keeps_the_order_of_its_nodes_and_its_switchback() -> None:
    policy = 'switchback = "automatic"\nswitchback_after = "1min"\nfailure_timeout = "1h"'
    config = parsed(('nodes = ["db-01", "db-02"]', f'nodes = ["db-02", "db-01"]\n{policy}'))
    (hierarchy,) = config.cluster.hierarchies
    assert hierarchy.nodes == (DB2, DB1)
    assert hierarchy.switchback is Switchback.AUTOMATIC
    assert (hierarchy.switchback_after_ms, hierarchy.failure_timeout_ms) == (60_000, 3_600_000)


def test_a_resource_has_its_own_policy_and_limits() -> None:
    policy = (
        'check_interval = "2s"\ncheck_failures = 4\nlocal_recovery = false\nmax_recoveries = 0\n'
        'recovery_window = "5min"\nfailover = false\nannounce = "5s"\n'
        'limits = { restore = "1s", quick_check = "500ms" }'
    )
    config = parsed(('kit = "address"', f'kit = "address"\n{policy}'))
    assert resource(config, "vip") == Resource(
        tag=Tag("vip"),
        kit="address",
        depends_on=(Tag("server"),),
        limits=Limits(restore_ms=1_000, check_ms=500),
        check_interval_ms=2_000,
        check_failures=4,
        local_recovery=False,
        max_recoveries=0,
        recovery_window_ms=300_000,
        failover=False,
        reasserts=True,
    )
    assert config.resources[Tag("vip")].parameters[DB1] == AddressParameters(
        address=IPv4Interface("10.1.0.10/32"), announce_ms=5_000
    )


def test_the_kit_says_how_often_it_is_checked_and_whether_at_all() -> None:
    with_check = ('kit = "script"', 'kit = "script"\nquick_check = "/opt/check"')
    assert resource(parsed(), "vip").check_interval_ms == 10_000
    assert resource(parsed(), "server").check_interval_ms == 0
    assert resource(parsed(with_check), "server").check_interval_ms == 30_000


def test_parameters_of_every_type_are_read() -> None:
    parameters = (
        'id = "a\\tb"\nnetworks = ["10.1.0.0/16", "fd00::/64"]\nmode = "once"\nweight = 2\nlabels = ["x"]'
    )
    config = parsed(('kit = "script"', f'kit = "script"\n{parameters}'))
    assert config.resources[Tag("server")].parameters[DB2] == ScriptParameters(
        restore=Path("/opt/server/restore"),
        remove=Path("/opt/server/remove"),
        id="a\tb",
        networks=(IPv4Network("10.1.0.0/16"), IPv6Network("fd00::/64")),
        mode="once",
        weight=2.0,
        labels=("x",),
    )


def test_a_node_can_have_parameters_of_its_own() -> None:
    config = parsed(append='\n[hierarchy.app.resource.vip.node.db-02]\ndevice = "eth1"\n')
    parameters = config.resources[Tag("vip")].parameters
    assert (parameters[DB1].device, parameters[DB2].device) == ("eth0", "eth1")
    assert parameters[DB2].address == IPv4Interface("10.1.0.10/32")


def test_a_parameter_may_be_given_for_each_node_alone() -> None:
    table = "[hierarchy.app.resource.vip.node]\n"
    config = parsed(
        ('address = "10.1.0.10/32"\n', ""),
        append=f'{table}db-01.address = "10.1.0.1/32"\ndb-02.address = "10.1.0.2/32"\n',
    )
    parameters = config.resources[Tag("vip")].parameters
    assert [str(parameters[node].address) for node in (DB1, DB2)] == ["10.1.0.1/32", "10.1.0.2/32"]


def test_children_come_before_their_parents_and_otherwise_the_file_decides() -> None:
    children = {"d": '["b", "c"]', "c": '["a"]', "b": '["a"]', "a": "[]", "z": "[]"}
    script = 'kit = "script"\nrestore = "/r"\nremove = "/s"\n'
    scripts = "".join(
        f"[hierarchy.app.resource.{tag}]\n{script}depends_on = {tags}\n" for tag, tags in children.items()
    )
    (hierarchy,) = parsed(append=scripts).cluster.hierarchies
    order = [each.tag for each in hierarchy.resources]
    assert order == ["server", "a", "z", "vip", "c", "b", "d"]


def test_what_is_not_wise_is_noted() -> None:
    (note,) = parsed().notes
    assert note.startswith("no [watchdog]: ")
    one_path = GOOD[: GOOD.index("[comm_path.back]")] + GOOD[GOOD.index("[hierarchy.app]") :]
    first, _ = parse(one_path, SOURCE, KITS).notes
    assert first.startswith("front is the only comm path: ")
    ignored = parsed(('kit = "script"', 'kit = "script"\ncheck_interval = "1s"')).notes[-1]
    assert ignored == "server has nothing to check it with, so its check_interval is ignored."


def test_aws_and_self_fencing_can_be_set() -> None:
    config = parsed(
        append='[aws]\nregion = "us-gov-west-1"\nconnect_timeout = "500ms"\nread_timeout = "3s"\n'
        '[self_fence]\ncommand = ["/usr/sbin/reboot", "-f"]\n'
    )
    assert config.aws == AwsSetup(region="us-gov-west-1", connect_timeout_ms=500, read_timeout_ms=3_000)
    assert config.self_fence == SelfFence(command=("/usr/sbin/reboot", "-f"))


def test_a_file_is_loaded_as_its_text_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode())  # as an editor on Windows leaves it
    config = load(path, KITS)
    assert config.source == path
    assert config.digest == hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assert config.cluster == parsed().cluster
    assert tomllib.loads(GOOD)["cluster"]["name"] == config.cluster.name
