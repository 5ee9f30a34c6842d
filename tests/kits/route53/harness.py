"""A route53 kit on one node of the reference cluster, and the zone as an operator sees it."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from recovery_kits.contract import ALWAYS, Authority, Aws, Check, Finding, Run, Site, Tools
from recovery_kits.route53 import Route53Kit, Route53Parameters
from tests.aws_server import AwsServer
from tests.aws_server.world import ADDRESSES
from tests.kits.acting import Agent, no_command

__all__ = ["NAME", "OWNER", "Agent", "Node", "Zone", "owner"]

T = TypeVar("T")
NAME, OWNER = "groupware.example.com", "_kagemusha-a.groupware.example.com"


class Zone:
    """The hosted zone example.com; close it."""

    def __init__(self, server: AwsServer) -> None:
        self.server, self._client = server, server._client("route53")
        made = self._client.create_hosted_zone(Name="example.com", CallerReference="test")
        self.id: str = made["HostedZone"]["Id"].rpartition("/")[2]
        server.forget_calls()

    def record(self, name: str = NAME, kind: str = "A") -> list[str] | None:
        """The record's values; None if there is no such record."""
        listed = self._client.list_resource_record_sets(HostedZoneId=self.id)["ResourceRecordSets"]
        found = [each for each in listed if (each["Name"], each["Type"]) == (f"{name}.", kind)]
        return [each["Value"] for each in found[0]["ResourceRecords"]] if found else None

    def put(self, *values: str, name: str = NAME, kind: str = "A", ttl_s: int = 30, **more: Any) -> None:
        """Create or change a record as an operator does."""
        self._change("UPSERT", name, kind, TTL=ttl_s, ResourceRecords=[{"Value": v} for v in values], **more)

    def put_many(self, names: Iterable[str]) -> None:
        """Create a record for each."""
        described: dict[str, Any] = {"Type": "A", "TTL": 30, "ResourceRecords": [{"Value": "10.0.0.1"}]}
        changes: Any = [{"Action": "CREATE", "ResourceRecordSet": {"Name": n} | described} for n in names]
        self._client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch={"Changes": changes})
        self.server.forget_calls()

    def put_alias(self, name: str = NAME) -> None:
        """Create an alias as an operator does."""
        alias = {"HostedZoneId": "Z2", "DNSName": "lb.example.net", "EvaluateTargetHealth": False}
        self._change("UPSERT", name, "A", AliasTarget=alias)

    def delete(self, name: str = NAME, kind: str = "A", ttl_s: int = 30) -> None:
        """Delete a record as an operator does."""
        values = [{"Value": each} for each in self.record(name, kind) or ()]
        self._change("DELETE", name, kind, TTL=ttl_s, ResourceRecords=values)

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    def operations(self) -> list[str]:
        """The names of the calls since the scene was set, by which IAM knows them."""
        return [_name(call.operation, self.id) for call in self.server.control.journal()]

    def rule_for(self, operation: str) -> str:
        """The same in the words of fault rules."""
        path = f"/2013-04-01/hostedzone/{self.id}/rrset"
        return {
            "ChangeResourceRecordSets": f"route53:POST {path}/",
            "ListResourceRecordSets": f"route53:GET {path}",
            "GetChange": "route53:GET /2013-04-01/change/*",
            "*": "*",
        }[operation]

    def _change(self, action: str, name: str, kind: str, **described: Any) -> None:
        record = {"Name": name, "Type": kind, **described}
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        self._client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch=batch)
        self.server.forget_calls()


@dataclass
class Node:
    """`name` in the reference cluster, which acts through `agent`."""

    agent: Agent
    zone: Zone
    name: str
    authority: Authority = ALWAYS
    cluster: str = "lab"
    tag: str = "dns"
    run: Run = no_command
    aws: Aws | None = None  # None: the agent's
    lines: list[str] = field(default_factory=list)  # what the kit has logged

    def kit(self, **changes: Any) -> Route53Kit:
        """A kit for the zone and NAME, unless told otherwise."""
        usual: dict[str, Any] = {"hosted_zone_id": self.zone.id, "name": NAME}
        tools = Tools(
            tag=self.tag,
            node=self.name,
            run=self.run,
            aws=self.aws or self.agent.aws,
            authority=self.authority,
            site=Site(cluster=self.cluster, nodes=ADDRESSES),
            log=self.lines.append,
        )
        return Route53Kit(Route53Parameters(**(usual | changes)), tools)

    def restore(self, **changes: Any) -> Route53Kit:
        """Run the action to its end."""
        kit = self.kit(**changes)
        self.do(kit.restore())
        return kit

    def recover(self, **changes: Any) -> None:
        """Run the action to its end."""
        self.do(self.kit(**changes).recover())

    def remove(self) -> None:
        """Run the action to its end."""
        self.do(self.kit().remove())

    def check(self, **changes: Any) -> Check:
        """The answer of quick_check."""
        return self.do(self.kit(**changes).quick_check())

    def validate(self, **changes: Any) -> Sequence[Finding]:
        """What validate finds."""
        return self.do(self.kit(**changes).validate())

    def do(self, action: Coroutine[Any, Any, T]) -> T:
        """Run it in the agent's loop."""
        return self.agent.runner.run(action)


def owner(node: str, serial: int, *, cluster: str = "lab", tag: str = "dns") -> str:
    """The owner's TXT value."""
    return f'"kagemusha cluster={cluster} resource={tag} node={node} serial={serial}"'


def _name(operation: str, zone: str) -> str:
    path = "/2013-04-01/hostedzone/" + zone
    known = {
        f"route53:POST {path}/rrset/": "ChangeResourceRecordSets",
        f"route53:GET {path}/rrset": "ListResourceRecordSets",
        f"route53:GET {path}": "GetHostedZone",
    }
    return known.get(operation) or ("GetChange" if "/change/" in operation else operation)
