"""Which changes a running agent takes over, and which it refuses."""

from __future__ import annotations

import pytest

from agent.config.diff import changes
from agent.core.ids import Tag
from tests.config.test_good_files import parsed

BOTH = [Tag("vip"), Tag("server")]
RESTART = "restart the agent: applications keep running"
ALL_ALIKE = (
    "nodes that differ in it could both have a majority: take every hierarchy out of service, then restart "
    "all agents"
)
TAKE_OUT = "take it out of service first"
ARBITER = '\n[arbiter]\nkind = "dynamodb"\ntable = "kagemusha"\n'
STOP = 'on_authority_lost = "stop"\nstop_within = "10min"'
FENCING = """
[fencing.level.power]
priority = 1
kind = "ec2"
node.db-01.instance = "i-0123456789abcdef0"
node.db-02.instance = "i-0123456789abcdef1"
"""
MAIL = """
[hierarchy.web.resource.mail]
kit = "script"
restore = "/start"
remove = "/stop"
"""
WEB = f"""
[hierarchy.web]
nodes = ["db-01", "db-02"]
# web
{MAIL}"""


def test_the_same_file_may_replace_itself() -> None:
    assert changes(parsed(), parsed(), BOTH) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('kit = "address"', 'kit = "address"\ncheck_interval = "1s"\nfailover = false'),
        ('kit = "address"', 'kit = "address"\nlimits = { remove = "1s" }'),
        ('depends_on = ["server"]\n', ""),
        ('nodes = ["db-01", "db-02"]', 'nodes = ["db-02", "db-01"]\nswitchback = "automatic"'),
        ('name = "shop"', 'name = "shop"\nstartup_grace = "1s"\nisolation_check = ["10.0.0.1:53"]'),
        (
            'nodes = ["db-01", "db-02"]',
            'nodes = ["db-01", "db-02"]\nconfirm_failover = { within = "5min", default = "no" }',
        ),
    ],
)
def test_policies_change_while_resources_are_in_service(old: str, new: str) -> None:
    assert changes(parsed(), parsed((old, new)), BOTH) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "shop"', 'name = "store"', "cluster.name changed"),
        ('"10.0.6.4"', '"10.0.7.4"', "the comm paths changed"),
        ("priority = 2", "priority = 3", "the comm paths changed"),
        ('name = "shop"', 'name = "shop"\nport = 7401', "the comm paths changed"),
        ("/etc/kagemusha/cluster.key", "/etc/kagemusha/new.key", "cluster.key_file changed"),
        (
            'name = "shop"',
            'name = "shop"\nheartbeat_interval = "100ms"',
            "cluster.heartbeat_interval changed",
        ),
        (
            'name = "shop"',
            'name = "shop"\non_authority_lost = "poweroff"',
            "cluster.on_authority_lost changed",
        ),
        ("[comm_path.front]", "[watchdog]\n[comm_path.front]", "[watchdog] changed"),
        (
            "[comm_path.front]",
            '[self_fence]\ncommand = ["/sbin/reboot"]\n[comm_path.front]',
            "[self_fence] changed",
        ),
        ("[comm_path.front]", f"{FENCING}[comm_path.front]", "[fencing] changed"),
        ("[comm_path.front]", '[aws]\nregion = "eu-west-1"\n[comm_path.front]', "[aws] changed"),
    ],
)
def test_what_an_agent_takes_up_once_needs_a_restart(old: str, new: str, reason: str) -> None:
    assert f"{reason}; {RESTART}" in changes(parsed(), parsed((old, new)), [])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("db-02", "db-03", "the nodes changed"),
        ('name = "shop"', 'name = "shop"\ndead_after = "3s"', "cluster.dead_after changed"),
        ('name = "shop"', 'name = "shop"\ntakeover_margin = "1s"', "cluster.takeover_margin changed"),
        ('name = "shop"', f'name = "shop"\n{STOP}', "cluster.stop_within changed"),
        ('table = "kagemusha"', 'table = "votes"', "[arbiter] changed"),
        (ARBITER, 'quorum = "none"\n', "cluster.quorum changed"),
    ],
)
def test_what_grants_rest_on_needs_a_restart_of_all(old: str, new: str, reason: str) -> None:
    before, after = parsed(), parsed((old, new))
    assert f"{reason}; {ALL_ALIKE}" in changes(before, after, [])
    assert f"{reason}; {ALL_ALIKE}" in changes(after, before, [])


def test_without_votes_nobody_needs_to_agree() -> None:
    alone = (ARBITER, 'quorum = "none"\n')
    faster = parsed(alone, ('name = "shop"', 'name = "shop"\ndead_after = "1s"'))
    assert changes(parsed(alone), faster, []) == [f"cluster.dead_after changed; {RESTART}"]


def test_a_resource_in_service_is_not_dropped() -> None:
    reason = f"mail is in service, and the new configuration hasn't got it; {TAKE_OUT}"
    assert changes(parsed(append=WEB), parsed(), [Tag("mail")]) == [reason]
    assert changes(parsed(append=WEB), parsed(), BOTH) == []


def test_a_resource_in_service_is_not_moved_to_another_hierarchy() -> None:
    moved = parsed(append=MAIL.replace("hierarchy.web", "hierarchy.app"))
    reason = f"mail is in service, and moves from hierarchy web to app; {TAKE_OUT}"
    assert changes(parsed(append=WEB), moved, [Tag("mail")]) == [reason]
    assert changes(parsed(append=WEB), moved, BOTH) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('remove = "/stop"', 'remove = "/halt"', "its parameters changed on db-01, db-02"),
        (
            'kit = "script"\nrestore = "/start"\nremove = "/stop"',
            'kit = "address"\naddress = "10.1.0.11/32"',
            "its kit changed",
        ),
        ('nodes = ["db-01", "db-02"]\n# web', 'nodes = ["db-02"]', "db-01 may no longer run it"),
        (
            'remove = "/stop"',
            'remove = "/stop"\nnode.db-02.remove = "/halt"',
            "its parameters changed on db-02",
        ),
    ],
)
def test_how_to_remove_a_resource_in_service_does_not_change(old: str, new: str, reason: str) -> None:
    before, after = parsed(append=WEB), parsed(append=WEB.replace(old, new))
    assert changes(before, after, [Tag("mail")]) == [f"mail is in service, and {reason}; {TAKE_OUT}"]
    assert changes(before, after, BOTH) == []


def test_resources_and_nodes_may_be_added() -> None:
    one_node = parsed(append=WEB.replace('nodes = ["db-01", "db-02"]\n# web', 'nodes = ["db-02"]'))
    assert changes(parsed(), parsed(append=WEB), BOTH) == []
    assert changes(one_node, parsed(append=WEB), [Tag("mail")]) == []


def test_a_resource_nobody_knows_is_no_obstacle() -> None:
    assert changes(parsed(), parsed(), [Tag("gone")]) == []
