"""A Route 53 record that leads a name to the node that runs the hierarchy.

Its invariants:
- the record and its owner change together, by compare-and-set (see records.py): whoever read before another
  node's claim can't undo it, however late the change arrives, so nothing needs to be reasserted;
- for that, each restore claims the record anew, even where it leads here already: a change that was made of
  the same reading may be on its way;
- a record of another owner, or of none, is left alone; `recover` takes none that another node has claimed;
- a change that nobody answered is settled by reading back, not by its error;
- `remove` calls nothing: the record belongs to whoever claims it next, and AWS may be out of reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from agent.aws import AwsError, AwsFault
from recovery_kits import verdicts
from recovery_kits.contract import Check, Finding, Kit, Permission, Tools
from recovery_kits.patience import TRIES, patiently, pause
from recovery_kits.route53.advice import record_findings, zone_findings
from recovery_kits.route53.parameters import NoValue, Route53Parameters, own_value
from recovery_kits.route53.records import Owner, Reading, Record, owner_name, read_records

NOT_AS_READ = frozenset({"InvalidChangeBatch", "InvalidInput"})  # perhaps: other mistakes are called so too
SETTLE_S = (0.0, 0.3, 0.6)  # waits before each reading back, in case it shows late
POLL_S = 2.0  # between two GetChange: Route 53 allows an account five calls a second, all told


class Route53Kit(Kit[Route53Parameters]):
    """One record, e.g. groupware.example.com A 10.0.3.4, and its owner beside it."""

    kind = "route53"
    aws_services = ("route53",)
    summary = "a DNS record in Route 53 that leads to this node"
    Parameters: ClassVar[type[Any]] = Route53Parameters
    default_check_interval_ms = 30_000

    def __init__(self, parameters: Route53Parameters, tools: Tools) -> None:
        super().__init__(parameters, tools)
        self._me = Owner(tools.site.cluster, tools.tag, tools.node)
        self._owner_name = owner_name(parameters.name, parameters.record_type)
        self._in_sync: bool | None = None  # the last change, as far as this node has asked

    @classmethod
    def permissions(cls, parameters: Route53Parameters) -> Sequence[Permission]:
        """Change this record and its owner, see the zone; with `role_arn` that role needs these."""
        if parameters.role_arn:
            return (
                Permission(why="AssumeRole", actions=("sts:AssumeRole",), resources=(parameters.role_arn,)),
            )
        names = (parameters.name, owner_name(parameters.name, parameters.record_type))
        key = "route53:ChangeResourceRecordSets"
        zone = f"arn:{{partition}}:route53:::hostedzone/{parameters.hosted_zone_id}"
        return (
            Permission(
                why="MoveRecord",
                actions=("route53:ChangeResourceRecordSets",),
                resources=(zone,),
                conditions={
                    "ForAllValues:StringEquals": {
                        f"{key}NormalizedRecordNames": names,
                        f"{key}RecordTypes": (parameters.record_type, "TXT"),
                        f"{key}Actions": ("CREATE", "DELETE"),
                    }
                },
            ),
            Permission(
                why="SeeZone",
                actions=("route53:GetHostedZone", "route53:ListResourceRecordSets"),
                resources=(zone,),
            ),
            Permission(
                why="SeeChange",
                actions=("route53:GetChange",),
                resources=("arn:{partition}:route53:::change/*",),
            ),
        )

    async def restore(self) -> None:
        """Claim the record, wait until Route 53's servers have it, and read it back.

        Raises KitError where it is another's; Unanswered where nobody could tell, where Route 53 shows
        something else again, and where this node may not act any more. A change that was accepted, but isn't
        in sync in time, is a success: it comes.
        """
        await self._bring_in("restore", from_other_nodes=True)

    async def remove(self) -> None:
        """Nothing: the record is left to the next owner."""

    async def recover(self) -> None:
        """Put back what somebody changed; raises KitError where another node has claimed the record since."""
        await self._bring_in("recover", from_other_nodes=False)

    async def quick_check(self) -> Check:
        """One ListResourceRecordSets; UNKNOWN unless Route 53 answered it."""
        try:
            wanted = await self._wanted()
            why = (await self._look()).why_not(wanted, self._me)
        except NoValue as error:
            return Check.failed(str(error))
        except AwsError as error:
            return verdicts.check(error)
        return Check.failed(f"{self.parameters.name} {why}") if why else Check.ok()

    def details(self) -> Mapping[str, Any]:
        """Whether all of Route 53's servers had this node's last change when it was asked."""
        return {"in_sync": self._in_sync}

    async def validate(self) -> list[Finding]:
        """Whether the zone is there and takes the record, whose it is, and what this node puts into it."""
        findings = []
        try:
            await self._wanted()
        except NoValue as error:
            findings.append(Finding(str(error), f"give `value` for {self.tools.node}"))
        try:
            zone = await self._call("get_hosted_zone", Id=self.parameters.hosted_zone_id)
            findings += zone_findings(zone["HostedZone"], self.parameters)
            findings += record_findings(await self._look(), self.parameters, self._me)
        except AwsError as error:
            otherwise = "try again when AWS answers" if error.unanswered else "correct what this names"
            step = error.step or otherwise
            if error.kind is AwsFault.NOT_FOUND:
                step = "correct hosted_zone_id; `aws route53 list-hosted-zones` lists what there is"
            findings.append(Finding(str(error), step, certain=not error.unanswered))
        return findings

    async def _bring_in(self, action: str, *, from_other_nodes: bool) -> None:
        name = self.parameters.name
        try:
            wanted = await self._wanted()
            change = await self._claim(action, wanted, from_other_nodes=from_other_nodes)
            await self._wait_for_sync(change)
            why = await self._read_back(wanted)
        except NoValue as error:
            raise self.error(action, f"{error}: give `value` for {self.tools.node}") from error
        except AwsError as error:
            raise verdicts.failure(self, action, error) from error
        if why:
            reason = f"Route 53 accepted it and doesn't show it: {name} {why}; somebody may have changed it"
            raise self.unanswered(action, reason)

    async def _read_back(self, wanted: Record) -> str | None:
        """What is wrong with the record now, in spite of the claim; raises AwsError."""
        why: str | None = None
        for wait_s in SETTLE_S:
            await asyncio.sleep(wait_s)
            why = (await patiently(self._look)).why_not(wanted, self._me)
            if why is None:
                break
        return why

    async def _claim(self, action: str, wanted: Record, *, from_other_nodes: bool) -> str | None:
        """Make the record this node's; returns the change's id, None where only its answer was lost.

        Raises AwsError, and KitError where the record is another's.
        """
        reading = await patiently(self._look)
        for attempt in range(TRIES):
            self._refuse(action, reading, from_other_nodes=from_other_nodes)
            owner, changes = reading.claim(wanted, self._owner_name, self._me)
            try:
                answer = await self._call(
                    "change_resource_record_sets",
                    authority=self.tools.authority,
                    HostedZoneId=self.parameters.hosted_zone_id,
                    ChangeBatch={"Changes": changes},
                )
                return str(answer["ChangeInfo"]["Id"])
            except AwsError as error:
                if not error.passing and error.code not in NOT_AS_READ:
                    raise
                await pause(attempt)
                reading = await patiently(self._look)
                if attempt == TRIES - 1:
                    if reading.owner == owner:
                        return None
                    raise
        raise AssertionError("the last try returns or raises")

    def _refuse(self, action: str, reading: Reading, *, from_other_nodes: bool) -> None:
        """Raise KitError where the record isn't this node's to claim."""
        name = self.parameters.name
        if objection := reading.objection(self._me, adopt=self.parameters.adopt):
            problem, remedy = objection
            raise self.error(action, f"{name} is left alone: {problem}; {remedy}")
        owner = reading.owner
        if owner and owner.node != self.tools.node and not from_other_nodes:
            reason = (
                f"{owner.node} has claimed {name} since: look there whether it runs the hierarchy as well"
            )
            raise self.error(action, reason)

    async def _wait_for_sync(self, change: str | None) -> None:
        """Ask until all of Route 53's servers have the change, but no longer than configured."""
        self._in_sync = None
        if change is None or not self.parameters.in_sync_within_ms:
            return
        self._in_sync = False
        try:
            async with asyncio.timeout(self.parameters.in_sync_within_ms / 1_000):
                while not (in_sync := await self._is_in_sync(change)):  # noqa: ASYNC110 (it tells nobody)
                    await asyncio.sleep(POLL_S)
            self._in_sync = in_sync
        except TimeoutError:
            self.tools.log(f"{change} is accepted, but Route 53's servers don't all have it yet")
        except AwsError as error:
            self.tools.log(f"{change} is accepted, but its state can't be asked: {error}")

    async def _is_in_sync(self, change: str) -> bool:
        """Raises AwsError unless asking once more may help."""
        try:
            answer = await self._call("get_change", Id=change)
        except AwsError as error:
            if not error.passing:
                raise
            return False
        return bool(answer["ChangeInfo"]["Status"] == "INSYNC")

    async def _wanted(self) -> Record:
        """The record as this node would have it; raises NoValue."""
        value = await own_value(self.parameters, self.tools)
        return Record(self.parameters.name, self.parameters.record_type, self.parameters.ttl_s, (value,))

    async def _look(self) -> Reading:
        """The record and its owner, which Route 53 lists soon after it; raises AwsError."""
        zone, name = self.parameters.hosted_zone_id, self.parameters.name
        answer = await self._call("list_resource_record_sets", HostedZoneId=zone, StartRecordName=name)
        if answer["IsTruncated"] and not read_records(answer, name, self.parameters.record_type).owner_record:
            beside = await self._call(  # hundreds of records stand between the two
                "list_resource_record_sets",
                HostedZoneId=zone,
                StartRecordName=self._owner_name,
                StartRecordType="TXT",
                MaxItems="1",
            )
            answer["ResourceRecordSets"] += beside["ResourceRecordSets"]
        return read_records(answer, name, self.parameters.record_type)

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return await self.tools.aws.call("route53", operation, role=self.parameters.role_arn, **parameters)
