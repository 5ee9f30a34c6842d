"""The reference cluster that Terraform made: real agents, with the cluster.toml, key and roles it put out.

What is replaced in that cluster.toml, for nodes are namespaces here: the key's path, the process that a
power cut ends (`self_fence`), the watchdog device (it is the whole kernel's), the scripts (each call is
written down before it runs the example's), the times of heartbeats, checks and calls of AWS, and for the
mirror and the XFS on it (kernels of their own) a directory of the node's disk. Addresses, route tables, the
arbiter's table, the topic and the network device are as Terraform wrote them.
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.aws_server import REGION, World
from tests.aws_server.world import DESTINATION, WorldInterface, WorldNode
from tests.cluster.cluster import Cluster
from tests.machines import cloud
from tests.machines.lab import NODES
from tests.machines.machine import wait_until
from tests.machines.settings import Settings
from tests.terraform import tool

APPLY_LIMIT_S = 900.0
ACCOUNT = "123456789012"  # moto's own
OPERATOR = tool.SETTINGS | {"AWS_ENDPOINT_URL": cloud.URL, "AWS_DEFAULT_REGION": REGION}
AT_ONCE = {  # each resource mostly waits for AWS
    f"TF_CLI_ARGS_{each}": "-parallelism=40" for each in ("apply", "plan", "destroy")
}
PACKAGE = {"source": "https://packages.example.com/kagemusha.deb", "sha256": "0" * 64}
REGISTER_IMAGE = """
print(json.dumps(client("ec2").register_image(
    Name="debian-12", RootDeviceName="/dev/xvda", VirtualizationType="hvm",
    BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}}])["ImageId"]))
"""
INTERFACES = """
found = client("ec2").describe_network_interfaces(NetworkInterfaceIds=sys.argv[1:])["NetworkInterfaces"]
print(json.dumps({e["NetworkInterfaceId"]: [e["MacAddress"], e["PrivateIpAddress"]] for e in found}))
"""
ROLE = """
arn = client("iam").get_role(RoleName=sys.argv[1])["Role"]["Arn"]
made = client("sts").assume_role(RoleArn=arn, RoleSessionName="node")["Credentials"]
print(json.dumps([made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]]))
"""
USER_DATA = """
found = client("ec2").describe_instance_attribute(InstanceId=sys.argv[1], Attribute="userData")
print(json.dumps(found["UserData"]["Value"]))
"""


class TerraformLab(Cluster):
    """The lab applied to the test server; its nodes are machines of namespaces."""

    def __init__(self, settings: Settings, modules: Path) -> None:
        super().__init__(settings)
        self.folder = modules / "lab"
        self.outputs: dict[str, Any] = {}
        self.before: dict[str, list[str]] = {}  # what there was in AWS before

    def _furnish(self) -> World:
        self._start_cloud("bare")
        image = self.python(REGISTER_IMAGE)
        variables = {"endpoint": cloud.URL, "image_id": image, "device": "eth0", "package": PACKAGE}
        (self.folder / "test.auto.tfvars.json").write_text(json.dumps(variables))
        self.before = self.inventory()
        self.terraform("apply", "-auto-approve")
        shown = json.loads(self.terraform("output", "-json"))
        self.outputs = {name: each["value"] for name, each in shown.items()}
        world = self._world()
        self.cloud.adopt(world)
        return world

    def _world(self) -> World:
        nodes = self.outputs["nodes"]
        ids = [each for node in nodes.values() for each in node["interface_ids"]]
        known = self.python(INTERFACES, *ids)
        return World(
            region=REGION,
            vpc_id=self.outputs["vpc_id"],
            subnets=self.outputs["subnet_ids"],
            route_tables=tuple(self.outputs["app_route_table_ids"].values()),
            destination=DESTINATION,
            nodes=tuple(
                WorldNode(
                    name,
                    node["instance_id"],
                    node["zone"],
                    tuple(
                        WorldInterface(each, f"eth{index}", *known[each])
                        for index, each in enumerate(node["interface_ids"])
                    ),
                )
                for name, node in nodes.items()
            ),
        )

    def _hand_out_key(self) -> None:
        """By the program that each node's user data brings, with the node's own role."""
        for name in NODES:
            files = {each["path"]: each["content"] for each in self.user_data(name)["write_files"]}
            folder = self.disk(name) / "etc"
            program = self.disk(name) / "kagemusha-configure"
            program.write_text(files["/usr/local/sbin/kagemusha-configure"])
            (folder / "parameters.json").write_text(files["/etc/kagemusha/parameters.json"])
            self.vpc.run(sys.executable, str(program), str(folder), env=OPERATOR | self.role(name))

    def _original(self) -> str:
        return str(self.outputs["cluster_toml"])

    def user_data(self, node: str) -> dict[str, Any]:
        """What the node does at its first boot, as cloud-init reads it."""
        packed = self.python(USER_DATA, self.outputs["nodes"][node]["instance_id"])
        found: dict[str, Any] = yaml.safe_load(gzip.decompress(base64.b64decode(packed)))
        return found

    def destroy(self) -> str:
        """Take everything away; a machine whose instance stands still has no power from then on."""
        return self.terraform("destroy", "-auto-approve", meanwhile=self._cut_power)

    def _cut_power(self) -> None:
        running = self.cloud.running()
        for node in self.world.nodes:
            if node.instance_id not in running:
                self.power_off(node.name)

    def terraform(self, *arguments: str, meanwhile: Callable[[], None] = lambda: None) -> str:
        """Run it within the VPC, where the test server is; what it printed."""
        log = f"terraform-{arguments[0]}.log"
        (self.logs / log).unlink(missing_ok=True)
        env = tool.SETTINGS | AT_ONCE
        process = self.vpc.spawn(*tool.command(self.folder, *arguments), log=log, env=env)

        def ended() -> bool:
            meanwhile()
            return not process.running

        wait_until(ended, APPLY_LIMIT_S, log, every_s=0.1)
        code = process.wait(1)
        if code != 0:
            raise tool.TerraformFailed(f"{' '.join(arguments)}: exit {code}\n{tool.tail(process.log)}")
        return process.log.read_text()

    def python(self, program: str, *arguments: str, env: Mapping[str, str] = OPERATOR) -> Any:
        """Run a program of a few lines that asks AWS; what it printed, decoded."""
        start = "import boto3, json, sys\nclient = boto3.client\n"
        argv = (sys.executable, "-c", start + program, *arguments)
        return json.loads(self.vpc.run(*argv, env=env, within_s=60))

    def use_roles(self) -> None:
        """Let each agent call AWS with its node's role, and nothing more."""
        for name in NODES:
            self.agents[name] = self._supervised(name, **self.role(name))

    def role(self, node: str) -> dict[str, str]:
        """The keys of a session of the node's role, as environment variables."""
        key, secret, token = self.python(ROLE, self.outputs["nodes"][node]["role_name"])
        return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}

    def inventory(self) -> dict[str, list[str]]:
        """Everything there is in AWS, of each kind that Terraform makes."""
        argv = (sys.executable, "-m", "tests.terraform.inventory")
        found: dict[str, list[str]] = json.loads(self.vpc.run(*argv, env=OPERATOR, within_s=60))
        return found
