"""Target groups of load balancers, in which this node's target is the only one of the cluster's.

Its invariants:
- all groups are changed in parallel, and one that fails doesn't hide behind another that worked;
- only the targets of the parameters are touched, and of those only the ones with the parameters' port;
- who is registered is this kit's work, whether the load balancer finds it healthy isn't: health.py;
- every change goes out by this node's authority. ELB has no compare-and-set, so a former owner's change may
  land after this node's: `reassert` writes again without looking first;
- `remove` needs no network: whatever deregistering comes to, it is over after REMOVE_LIMIT_S, and the next
  owner deregisters this node's target as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, ClassVar

import psutil
from msgspec import Meta

from agent.aws import AwsError, AwsFault
from agent.config.errors import BadParameter
from agent.core.states import Health
from recovery_kits import verdicts
from recovery_kits.contract import Check, Finding, Kit, KitError, Permission, Unanswered
from recovery_kits.settling import settle
from recovery_kits.target_group.advice import Advice
from recovery_kits.target_group.health import Target, read_targets, why_not

SETTLE_S = (0.0, 0.3, 0.6)  # waits before each reading back: ELB may show a change late
REMOVE_LIMIT_S = 1.0  # for deregistering at remove
SERVICE = "elasticloadbalancing"  # what IAM calls it
GroupArn = Annotated[
    str,
    Meta(
        pattern=r"^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:\d{12}:targetgroup/[A-Za-z0-9-]+/[0-9a-f]+\Z",
        examples=[
            "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/app/0123456789abcdef"
        ],
    ),
]
InstanceId = Annotated[str, Meta(pattern=r"^i-[0-9a-f]{8,17}\Z", examples=["i-0123456789abcdef0"])]


@dataclass(frozen=True, kw_only=True)
class TargetGroupParameters:
    """[hierarchy.….resource.…] with kit = "target-group"."""

    target_groups: Annotated[
        tuple[GroupArn, ...], Meta(description="The ARNs of the target groups.", min_length=1)
    ]
    port: Annotated[int, Meta(description="The port that clients are sent to.", ge=1, le=65_535)]
    instances: Annotated[
        tuple[InstanceId, ...],
        Meta(description="The instances of all nodes, where the groups' target type is instance."),
    ] = ()
    addresses: Annotated[
        tuple[IPv4Address | IPv6Address, ...],
        Meta(
            description="An address of each node that stays with it, where the target type is ip; this or "
            "`instances`."
        ),
    ] = ()
    deregister_on_remove: Annotated[
        bool, Meta(description="Whether a node that is left deregisters its own target; it tries for 1 s.")
    ] = True

    def __post_init__(self) -> None:
        """Refuse what is named twice, and anything but one kind of target."""
        if self.instances and self.addresses:
            raise BadParameter("addresses", "leave it out: instances names the targets already")
        if not self.targets:
            raise BadParameter("instances", "missing; write the nodes' instance ids, or addresses")
        for key in ("target_groups", "instances", "addresses"):
            named = getattr(self, key)
            for each in named:
                if named.count(each) > 1:
                    raise BadParameter(key, f"name {each} once")

    @property
    def targets(self) -> tuple[str, ...]:
        """The ids of all nodes' targets."""
        return self.instances or tuple(map(str, self.addresses))


class TargetGroupKit(Kit[TargetGroupParameters]):
    """The target of the active node, e.g. i-0123 port 443, in any number of groups."""

    kind = "target-group"
    aws_services = ("elbv2",)
    reasserts = True
    summary = "the active node as the only target of load balancers"
    Parameters: ClassVar[type[Any]] = TargetGroupParameters
    default_check_interval_ms = 30_000  # at most two Describe calls a minute for each group

    @classmethod
    def permissions(cls, parameters: TargetGroupParameters) -> tuple[Permission, ...]:
        """Change who is registered in these groups; see them, their load balancers, and the instances."""
        see = ["DescribeLoadBalancers", "DescribeTargetGroups", "DescribeTargetHealth"]
        return (
            Permission(
                why="MoveTargets",
                actions=(f"{SERVICE}:DeregisterTargets", f"{SERVICE}:RegisterTargets"),
                resources=parameters.target_groups,
            ),
            Permission(
                why="SeeTargets",
                actions=(
                    *(("ec2:DescribeInstances",) if parameters.instances else ()),
                    *(f"{SERVICE}:{action}" for action in see),
                ),
            ),
        )

    async def restore(self) -> None:
        """Register this node's target in every group, deregister the others', and read back that it is so.

        Raises KitError naming each group that isn't, and why; Unanswered where nobody could tell, and where
        this node may not act any more.
        """
        own = await self._own("restore")
        results = await asyncio.gather(*(self._take(group, own) for group in self.parameters.target_groups))
        if failures := [each for each in results if each]:
            unsure = all(isinstance(each, Unanswered) for each in failures)
            reasons = "; ".join(each.reason for each in failures)
            raise (self.unanswered if unsure else self.error)("restore", reasons)

    async def remove(self) -> None:
        """Deregister this node's target, if so wished and as far as that can be had at once."""
        if not self.parameters.deregister_on_remove:
            return
        groups = self.parameters.target_groups
        failures: Sequence[object] = ()
        try:
            async with asyncio.timeout(REMOVE_LIMIT_S):
                own = await self._own("remove")
                failures = await asyncio.gather(*(self._leave(group, own) for group in groups))
        except KitError as error:
            failures = (error.reason,)
        except TimeoutError:
            failures = (f"no answer within {REMOVE_LIMIT_S:g} s",)
        for why in filter(None, failures):
            self.tools.log(f"may stay registered until another node takes over: {why}")

    async def recover(self) -> None:
        """Say again who is to be registered."""
        await self.restore()

    async def quick_check(self) -> Check:
        """One DescribeTargetHealth for each group.

        FAILED: this node's target isn't registered in a group, or another node's is. UNKNOWN: AWS didn't
        answer, or the load balancer doesn't find the target healthy: an alarm, which moves nothing.
        """
        try:
            own = await self._own("quick-check")
        except KitError as error:
            health = Health.UNKNOWN if isinstance(error, Unanswered) else Health.FAILED
            return Check(health, error.reason)
        checks = await asyncio.gather(*(self._check(group, own) for group in self.parameters.target_groups))
        for health in (Health.FAILED, Health.UNKNOWN):
            if reasons := [each.why for each in checks if each.health is health]:
                return Check(health, "; ".join(reasons))
        return Check.ok()

    async def validate(self) -> list[Finding]:
        """Whether groups and instances exist, belong together, and a load balancer uses the groups here."""
        try:
            await self._own("validate")
            identity = await self.tools.aws.identity()
            advice = Advice(self.tools.aws, identity.availability_zone)
            return await advice.findings(self.parameters.target_groups, self.parameters.instances)
        except KitError as error:
            step = getattr(error.__cause__, "step", "name an instance or address of every node")
            certain = not isinstance(error, Unanswered)
            return [Finding(error.reason, step or "try again when AWS answers", certain=certain)]
        except AwsError as error:
            return [verdicts.finding(error)]

    async def _own(self, action: str) -> str:
        """The id of this node's target; raises KitError, Unanswered when IMDS doesn't tell."""
        named = self.parameters.targets
        if self.parameters.addresses:
            held = {each.address for links in psutil.net_if_addrs().values() for each in links}
            mine = [each for each in named if each in held]
            if len(mine) != 1:
                has = " and ".join(mine) or "none"
                raise self.error(action, f"of the addresses {', '.join(named)} this node has {has}")
            return mine[0]
        try:
            own = (await self.tools.aws.identity()).instance_id
        except AwsError as error:
            raise self.unanswered(action, f"can't tell which instance this is: {error}") from error
        if own not in named:
            raise self.error(action, f"this is {own}, which isn't among the instances {', '.join(named)}")
        return own

    def _others(self, own: str) -> Sequence[str]:
        return [each for each in self.parameters.targets if each != own]

    async def _take(self, group: str, own: str) -> KitError | None:
        """Make it so in one group; returns the error, for the other groups' changes go on."""

        async def wrong() -> str | None:
            return why_not(await self._describe(group), own, self._others(own))

        try:
            await settle(self, "restore", lambda: self._change(group, own), wrong, SETTLE_S)
        except KitError as error:
            make = self.unanswered if isinstance(error, Unanswered) else self.error
            return make("restore", f"{_name(group)}: {error.reason}")
        return None

    async def _leave(self, group: str, own: str) -> AwsError | None:
        """Deregister this node's target; returns the error, for the other groups' changes go on."""
        try:
            await self._call("deregister_targets", group, own)
        except AwsError as error:
            return error
        return None

    async def _change(self, group: str, own: str) -> None:
        """Register, then deregister: what got no answer keeps nothing else from being tried."""
        unanswered: AwsError | None = None
        for target in (own, *self._others(own)):
            operation = "register_targets" if target == own else "deregister_targets"
            try:
                await self._call(operation, group, target)
            except AwsError as error:
                if not error.passing:
                    raise
                unanswered = error
        if unanswered:
            raise unanswered

    async def _call(self, operation: str, group: str, target: str) -> None:
        """Send one change of one target: a terminated instance among several would spoil them all."""
        wish = [{"Id": target, "Port": self.parameters.port}]
        try:
            await self.tools.aws.call(
                "elbv2", operation, authority=self.tools.authority, TargetGroupArn=group, Targets=wish
            )
        except AwsError as error:
            if (operation, error.code) != ("deregister_targets", "InvalidTarget"):  # there is none: as wished
                raise

    async def _check(self, group: str, own: str) -> Check:
        try:
            targets = await self._describe(group)
        except AwsError as error:
            health = Check.failed if error.kind is AwsFault.NOT_FOUND else Check.unknown
            return health(f"{_name(group)}: {error}")
        if why := why_not(targets, own, self._others(own)):
            return Check.failed(f"{_name(group)}: {why}")
        doubt = targets[own].doubt
        return Check.unknown(f"{_name(group)}: {doubt}") if doubt else Check.ok()

    async def _describe(self, group: str) -> dict[str, Target]:
        """All that are registered: asking for a terminated instance by name would be refused."""
        answer = await self.tools.aws.call("elbv2", "describe_target_health", TargetGroupArn=group)
        return read_targets(answer, self.parameters.port)


def _name(group: str) -> str:
    """The group's name, of its ARN."""
    return group.split("/")[1]
