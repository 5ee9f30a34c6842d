"""Everything that calls AWS works with the policy that `kage iam-policy` prints, and with nothing more.

moto enforces it: actions and the ARNs they are on. It doesn't decide about conditions.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent.arbiters.opening import open_arbiter
from agent.aws.metadata import ENDPOINT_VARIABLE
from agent.cli.main import main
from agent.config.load import load
from agent.config.model import Config
from agent.core.ids import NodeId
from agent.fencing.levels import NotFenced
from agent.fencing.opening import open_levels
from agent.runtime.kitbox import KitBox
from recovery_kits import attachment
from recovery_kits.contract import Kit, KitError
from recovery_kits.eni import EniKit
from recovery_kits.registry import kits
from tests.aws_server import REGION, AwsServer, World, iam
from tests.doctor.scenes import SCENES, Machine, cluster, resource

ACCOUNT = "123456789012"
DB_01, DB_02 = NodeId("db-01"), NodeId("db-02")
DENIED = "AccessDenied"


@dataclass
class Enforced:
    """AWS, which lets a node do what the policy of its configuration allows."""

    server: AwsServer
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def config(self, text: str, name: str = "own") -> Config:
        """The configuration of that text."""
        file = self.folder / f"{name}.toml"
        file.write_text(text)
        return load(file, kits())

    def policy(self, text: str, *options: str) -> str:
        """What `kage iam-policy` prints for it."""
        self.config(text)
        where = ("--config", str(self.folder / "own.toml"), "--account", ACCOUNT, "--region", REGION)
        assert main(["iam-policy", *where, *options]) == 0
        return self.capsys.readouterr().out

    def begin(self, policy: str) -> None:
        """From now on this process is a node that has this policy and no other."""
        with closing(self.server._client("iam")) as users:
            users.create_user(UserName="node")
            users.put_user_policy(UserName="node", PolicyName="kagemusha", PolicyDocument=policy)
            key = users.create_access_key(UserName="node")["AccessKey"]
        self.monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        self.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        self.server.control.enforce_iam(enforced=True)


@pytest.fixture
def enforced(
    aws_server: AwsServer,
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Enforced]:
    """The reference cluster, seen from db-01; nothing is enforced before `begin` or after the test."""
    monkeypatch.setattr(attachment, "PAUSE_S", 0.01)
    monkeypatch.setenv(ENDPOINT_VARIABLE, aws_server.add_metadata(world.profile("db-01")).url)
    yield Enforced(aws_server, tmp_path, monkeypatch, capsys)
    aws_server.control.enforce_iam(enforced=False)


def kit_of(box: KitBox, config: Config, machine: Machine) -> Kit[Any]:
    (kit,) = box.make(config).values()
    kit.tools = replace(kit.tools, run=machine)
    if isinstance(kit, EniKit):
        kit._root = machine.root
    return kit


async def use(kit: Kit[Any]) -> None:
    """Everything that the agent asks of it."""
    found = await kit.validate()
    assert not [each for each in found if DENIED in each.problem], found
    await kit.restore()
    checked = await kit.quick_check()
    assert DENIED not in checked.why, checked
    if kit.reasserts:
        await kit.reassert()
    await kit.remove()


def test_every_kit_that_calls_aws_has_a_scene() -> None:
    assert sorted(SCENES) == [kind for kind in kits() if kits()[kind].aws_services]


@pytest.mark.parametrize("kind", SCENES)
def test_a_kit_works_with_the_policy_and_can_touch_nothing_else(
    enforced: Enforced, world: World, kind: str, tmp_path: Path
) -> None:
    scene = SCENES[kind](enforced.server, world)
    text = cluster(resource(kind, scene.own))
    own = enforced.config(text)
    other = enforced.config(cluster(resource(kind, scene.other)), "other")
    enforced.begin(enforced.policy(text))
    machine = Machine(tmp_path / "machine", scene.mac)

    async def act() -> None:
        with closing(KitBox(DB_01, own, tmp_path, lambda _tag, _line: None)) as box:
            await use(kit_of(box, own, machine))
            assert iam.denied == []  # not even what a kit takes in its stride
            with pytest.raises(KitError, match=DENIED):
                await kit_of(box, other, machine).restore()

    asyncio.run(act())


ARBITER = 'quorum = "majority"'
TABLE = '[arbiter]\nkind = "dynamodb"\ntable = "{}"\n'.format
BUCKET = '[arbiter]\nkind = "s3"\nbucket = "votes"\nprefix = "{}"\n'.format
SCRIPT = resource("generic", 'id = "app"\nrestore = "/bin/true"\nremove = "/bin/true"\n')


def make_table(server: AwsServer, name: str) -> None:
    with closing(server.dynamodb()) as client:
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )


def make_bucket(server: AwsServer) -> None:
    with closing(server.s3()) as client:
        where: Any = {"LocationConstraint": REGION}
        client.create_bucket(Bucket="votes", CreateBucketConfiguration=where)


async def tried(config: Config) -> list[str]:
    """What the arbiter's own trial finds, which reads and writes as votes do."""
    assert config.arbiter is not None
    with closing(
        open_arbiter(config.arbiter, config.cluster.name, region=REGION, dead_after_ms=30_000)
    ) as arbiter:
        return [each.problem for each in await arbiter.validate()]


@pytest.mark.parametrize(
    ("table", "own", "other"), [(TABLE, "kagemusha", "elsewhere"), (BUCKET, "own/", "other/")]
)
def test_an_arbiter_works_with_the_policy_and_can_write_nowhere_else(
    enforced: Enforced, table: Callable[[str], str], own: str, other: str
) -> None:
    if table is TABLE:
        make_table(enforced.server, own)
        make_table(enforced.server, other)
    else:
        make_bucket(enforced.server)
    text = cluster(table(own) + SCRIPT, ARBITER)
    config = enforced.config(text)
    elsewhere = enforced.config(cluster(table(other) + SCRIPT, ARBITER), "other")
    enforced.begin(enforced.policy(text))
    assert asyncio.run(tried(config)) == []
    assert iam.denied == []
    (problem,) = asyncio.run(tried(elsewhere))
    assert DENIED in problem


FENCING = '[fencing.level.stop]\npriority = 1\nkind = "ec2"\naction = "{}"\n'.format


@pytest.mark.parametrize("action", ["stop", "reboot"])
def test_fencing_works_with_the_policy_and_reaches_no_other_instance(
    enforced: Enforced, world: World, action: str
) -> None:
    mine, peer = (world.node(name).instance_id for name in ("db-01", "db-02"))
    with closing(enforced.server.ec2()) as client:
        stranger = client.run_instances(ImageId="ami-03cf127a", MinCount=1, MaxCount=1)["Instances"][0]
    targets = 'node.db-01.instance = "{}"\nnode.db-02.instance = "{}"\n'.format
    text = cluster(FENCING(action) + targets(mine, peer) + SCRIPT)
    config = enforced.config(text)
    wrong = cluster(FENCING(action) + targets(mine, stranger["InstanceId"]) + SCRIPT)
    elsewhere = enforced.config(wrong, "other")
    enforced.begin(enforced.policy(text, "--node", "db-01"))

    async def act() -> None:
        with closing(KitBox(DB_01, config, enforced.folder, lambda _tag, _line: None)) as box:
            ec2 = box._aws.ec2
            fenced = await open_levels(config.fencing_levels, DB_01, ec2).fence(DB_02)
            assert fenced.evidence.endswith("and starts again" if action == "reboot" else "is stopped")
            assert iam.denied == []
            with pytest.raises(NotFenced, match=DENIED):
                await open_levels(elsewhere.fencing_levels, DB_01, ec2).fence(DB_02)

    asyncio.run(act())


NOTIFY = """
[notify.topic]
kind = "sns"
topic = "arn:aws:sns:{region}:{account}:{topic}"
[notify.mail]
kind = "ses"
sender = "{sender}@example.com"
to = ["ops@example.com"]
[notify.figures]
kind = "cloudwatch"
"""


def notices(topic: str, sender: str) -> str:
    return cluster(NOTIFY.format(region=REGION, account=ACCOUNT, topic=topic, sender=sender) + SCRIPT)


def test_notices_get_out_with_the_policy_and_nowhere_else(enforced: Enforced) -> None:
    with closing(enforced.server._client("sns")) as sns, closing(enforced.server._client("ses")) as ses:
        for name in ("own", "other"):
            sns.create_topic(Name=name)
            ses.verify_email_identity(EmailAddress=f"{name}@example.com")
    enforced.config(notices("other", "other"), "other")
    enforced.begin(enforced.policy(notices("own", "own")))
    for name in ("own", "other"):
        main(["notify", "test", "--json", "--config", str(enforced.folder / f"{name}.toml")])
        sent = {each["name"]: each for each in json.loads(enforced.capsys.readouterr().out)}
        assert sent["figures"]["sent"], sent
        for each in ("topic", "mail"):
            assert sent[each]["sent"] is (name == "own"), sent
            assert name == "own" or DENIED in sent[each]["why"]


def test_with_doctor_adds_what_the_doctor_asks(enforced: Enforced) -> None:
    text = cluster(SCRIPT)
    assert json.loads(enforced.policy(text))["Statement"] == []
    (statement,) = json.loads(enforced.policy(text, "--with-doctor"))["Statement"]
    assert "ec2:DescribeSecurityGroups" in statement["Action"]
    assert statement["Resource"] == ["*"]
