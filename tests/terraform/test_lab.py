"""The lab applied to the test server, and the agents run on what was made, from the cluster.toml it put out.

The tests share one apply; the last one destroys it. Real AWS isn't asked: its quotas, IAM's conditions, and
what an instance's boot makes of its user data are not shown here.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.comm.keys import Keyring, load
from tests.aws_server import REGION
from tests.logs import LOGS
from tests.machines.lab import NODES
from tests.terraform.lab import ACCOUNT, OPERATOR, TerraformLab

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1_800)]

# Their own words for "no".
ATTEMPT = """
from botocore.exceptions import ClientError
ec2, ssm, dynamodb, sns = map(client, ("ec2", "ssm", "dynamodb", "sns"))
a = json.loads(sys.argv[1])
to = {"DestinationCidrBlock": a["destination"]}
route = to | {"NetworkInterfaceId": a["eni"]}
item = lambda table: dynamodb.put_item(TableName=table, Item={"id": {"S": "garoon/.check"}})
tries = {
    "own route": lambda: ec2.replace_route(RouteTableId=a["own_table"], **route),
    "another's route": lambda: ec2.replace_route(RouteTableId=a["other_table"], **route),
    "no route any more": lambda: ec2.delete_route(RouteTableId=a["own_table"], **to),
    "the peer's instance": lambda: ec2.stop_instances(InstanceIds=[a["instance"]]),
    "own vote": lambda: item(a["vote"]),
    "another's vote": lambda: item("elsewhere"),
    "own key": lambda: ssm.get_parameter(Name=a["key"], WithDecryption=True),
    "another's key": lambda: ssm.get_parameter(Name="/kagemusha/other/cluster.key", WithDecryption=True),
    "own notices": lambda: sns.publish(TopicArn=a["topic"], Message="x"),
    "another's notices": lambda: sns.publish(TopicArn=a["topic"] + "-2", Message="x"),
}
answers = {}
for name, attempt in tries.items():
    try:
        attempt()
        answers[name] = "allowed"
    except ClientError as error:
        answers[name] = error.response["Error"]["Code"]
print(json.dumps(answers))
"""
SHOWN = """
of_vpc = [{"Name": "vpc-id", "Values": [sys.argv[1]]}]
groups = client("ec2").describe_security_groups(Filters=of_vpc)["SecurityGroups"]
found = client("ec2").describe_instances(Filters=of_vpc)["Reservations"]
print(json.dumps([
    {each["GroupId"]: each["IpPermissions"] for each in groups},
    {each["InstanceId"]: each["MetadataOptions"]["HttpTokens"] for r in found for each in r["Instances"]},
]))
"""


@pytest.fixture(scope="module")
def made(modules: Path) -> Iterator[TerraformLab]:
    """The lab, applied, with no agent running yet; everything ends with the process of the test server."""
    with TerraformLab({}, modules) as lab:
        yield lab


@pytest.fixture(autouse=True)
def _logs(request: pytest.FixtureRequest, made: TerraformLab) -> None:
    request.node.stash[LOGS] = made.log_tails


def test_cluster_toml_is_finished_and_the_policy_is_the_one_that_kage_prints_for_it(
    made: TerraformLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(made.outputs["cluster_toml"])
    assert main(["check", "--offline", str(file)]) == 0
    capsys.readouterr()
    where = ("--account", ACCOUNT, "--region", REGION)
    for node in NODES:
        assert main(["--config", str(file), "iam-policy", "--node", node, *where]) == 0
        assert json.loads(made.outputs["policy"]) == json.loads(capsys.readouterr().out)
    assert all(each in made.outputs["cluster_toml"] for each in made.world.route_tables)


def test_the_nodes_have_one_key_that_is_in_no_state_and_no_user_data(made: TerraformLab) -> None:
    files = [made.disk(node) / "etc/cluster.key" for node in NODES]
    assert len({file.read_text() for file in files}) == 1
    assert isinstance(load(files[0]), Keyring)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o400}
    key = files[0].read_text().strip()
    state = (made.folder / "terraform.tfstate").read_text()
    assert "aws_ssm_parameter" in state
    assert not [
        each for each in (state, *(json.dumps(made.user_data(node)) for node in NODES)) if key in each
    ]


def test_nobody_gets_in_from_everywhere_and_instances_are_asked_by_imdsv2_alone(made: TerraformLab) -> None:
    groups, instances = made.python(SHOWN, made.world.vpc_id)
    assert len(groups) == 4  # AWS's own among them, without a rule
    assert len(instances) == 5
    assert not [name for name, rules in groups.items() if "0.0.0.0/0" in json.dumps(rules)]
    assert not [name for name, rules in groups.items() if any(rule["IpProtocol"] == "-1" for rule in rules)]
    assert set(instances.values()) == {"required"}


def test_a_node_s_role_may_do_its_own_work_and_nothing_else(made: TerraformLab) -> None:
    about = {
        "own_table": made.world.route_tables[0],
        "other_table": made.outputs["public_route_table_id"],
        "destination": made.world.destination,
        "eni": made.world.node("db-01").interfaces[0].id,
        "instance": made.world.node("db-02").instance_id,
        "vote": "garoon-kagemusha",
        "key": made.outputs["parameters"]["key"],
        "topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:garoon-kagemusha",
    }
    role = made.role("db-01")
    made.cloud.enforce_iam(enforced=True)
    try:
        answers = made.python(ATTEMPT, json.dumps(about), env=OPERATOR | role)
    finally:
        made.cloud.enforce_iam(enforced=False)
    allowed = {name for name, answer in answers.items() if answer == "allowed"}
    assert allowed == {"own route", "own vote", "own key", "own notices"}, answers
    denials = {"AccessDenied", "AccessDeniedException", "403"}  # the last is how moto words DynamoDB's
    assert {answers[name] for name in answers.keys() - allowed} <= denials, answers


def test_agents_fail_over_with_the_nodes_own_roles(made: TerraformLab) -> None:
    made.use_roles()
    made.cloud.enforce_iam(enforced=True)
    try:
        made.start()
        made.begin_on("db-01")
        made.wait_eligible("db-02")
        assert made.routes_lead_to("db-01")
        client = made.start_client()
        made.wait_served(client)
        made.power_off("db-01")
        made.wait_in_service("db-02")
        made.wait_served(client)
        assert made.routes_lead_to("db-02")
        assert not [each for each in made.events("db-02") if "AccessDenied" in each.text]
    finally:
        made.cloud.enforce_iam(enforced=False)


def test_after_that_terraform_has_nothing_to_put_right(made: TerraformLab) -> None:
    made.terraform("plan", "-detailed-exitcode")  # 2 would be: something to change


def test_destroy_leaves_nothing_though_an_agent_runs(made: TerraformLab) -> None:
    """No route is taken away before the instances: an agent makes one again that is missing."""
    assert made.in_service("db-02")
    assert made.inventory() != made.before
    steps = [line.partition(": ") for line in made.destroy().splitlines()]
    assert made.inventory() == made.before
    gone = [at for at, (what, _, how) in enumerate(steps) if _is_instance(what) and "complete" in how]
    routes = [at for at, (what, _, how) in enumerate(steps) if _is_route(what) and "Destroying" in how]
    assert len(gone) == len(routes) == 2
    assert max(gone) < min(routes)


def _is_instance(what: str) -> bool:
    return what.startswith("module.node[") and what.endswith(".aws_instance.this")


def _is_route(what: str) -> bool:
    return what.startswith("module.network.aws_route.virtual_ip[")
