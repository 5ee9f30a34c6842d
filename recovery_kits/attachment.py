"""Bringing here what EC2 attaches to one instance at a time: a volume, a network interface.

Invariants:
- each step follows from a fresh reading, so a move that was cut short, or a change whose answer was lost, is
  gone on with from wherever it is;
- it is taken only from an instance that can't be using it: one that is stopped or terminated by EC2's own
  word, or a node of this hierarchy, which was harmless before this node got the authority that every change
  goes out by. Authority says nothing of other machines, to which somebody attached it on purpose;
- addresses are unique within a VPC only: a machine of another one is no node, whatever address it has;
- Force leaves the other machine no moment to let go, so it is for stopped and terminated instances alone;
- nothing is to be reasserted, as routes are: EC2 attaches nothing that is attached, and a detachment names
  the instance or the attachment that it is about. A former owner's late call finds neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import ALWAYS, Ec2, Finding, Tools
from recovery_kits.patience import patiently

T = TypeVar("T")
PAUSE_S = 0.5  # between two looks: a detachment and an attachment take seconds each
DEVICE_GRACE_S = 5.0  # for the device, which comes a moment after the attachment, however late that was
LEAVING = frozenset({"detaching", "detached", "busy"})  # busy: it was asked to, and the machine holds it
STOPPED = frozenset({"stopped", "terminated"})
STOPPING = frozenset({"stopping", "shutting-down"})  # soon it can be taken by force
LOOK_AGAIN = frozenset(  # it is elsewhere by now, or not yet where the last reading had it
    {
        "IncorrectState",
        "InvalidAttachment.NotFound",
        "InvalidAttachmentID.NotFound",
        "InvalidNetworkInterface.InUse",
        "VolumeInUse",
    }
)


@dataclass(frozen=True)
class Attachment:
    """What a thing is attached to."""

    instance: str  # "": to something that is no instance of this account
    state: str  # attaching, attached, detaching, busy
    id: str = ""  # where EC2 gives attachments ids of their own

    def __str__(self) -> str:
        """`detaching at i-0123`."""
        return f"{self.state} at {self.instance or 'something that is no instance of this account'}"


class CannotMove(Exception):
    """It can't be brought here. `passing`: leaving where it was takes its time; no node could do better."""

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


class Movable(Protocol):
    """A volume or a network interface."""

    @property
    def id(self) -> str:
        """Such as "vol-0abc…"."""

    async def look(self) -> Attachment | None:
        """Where it is attached; AwsError, and CannotMove where it could never be attached here."""

    async def attach(self, instance: str) -> None:
        """Ask EC2 to; raises AwsError."""

    async def detach(self, attachment: Attachment, *, force: bool) -> None:
        """Ask EC2 to; raises AwsError."""


@dataclass(frozen=True)
class Holder:
    """The instance that has it."""

    id: str
    state: str
    addresses: frozenset[str]

    def objection(self, tools: Tools) -> str:
        """Why it may not be taken from there, or ""."""
        own = {address for addresses in tools.site.nodes.values() for address in addresses}
        if self.state in STOPPED or self.addresses & own:
            return ""
        return f"is attached to {self.id or 'something'}, which is {self.state} and no node of this hierarchy"


class Move:
    """Attaches `thing` to `instance`, which is this one."""

    def __init__(self, thing: Movable, instance: str, tools: Tools) -> None:
        self._thing, self._instance, self._tools = thing, instance, tools
        self._forced = self._was_elsewhere = False

    async def finish(self, until_s: float) -> None:
        """Return once it is attached here; `until_s` is a time of the running loop.

        Raises AwsError; CannotMove, also when that takes longer.
        """
        clock, begun_s = asyncio.get_running_loop().time, asyncio.get_running_loop().time()
        before: Attachment | None = None
        unsure: AwsError | None = None
        while True:
            now = await patiently(self._thing.look)
            if now and now.instance == self._instance and now.state == "attached":
                return
            if unsure and now == before:
                raise unsure  # it doesn't show either
            if clock() >= until_s:
                raise self._too_late(now, clock() - begun_s)
            before, unsure = now, await self._step(now)
            await asyncio.sleep(PAUSE_S)

    async def _step(self, now: Attachment | None) -> AwsError | None:
        """Ask for the next change, if it is this node's to ask for; its error if nobody answered."""
        if now is None:
            return await _ask(lambda: self._thing.attach(self._instance))
        if now.instance == self._instance:  # EC2 is at it, to attach it or to detach it first
            return None
        return await self._take(now)

    async def _take(self, held: Attachment) -> AwsError | None:
        self._was_elsewhere = True
        holder = await look_at(self._tools.aws.ec2, held.instance, self._instance)
        if why := holder.objection(self._tools):
            if holder.state in STOPPING:
                return None
            raise CannotMove(f"{self._thing.id} {why}: detach it there first, if nothing uses it")
        force = holder.state in STOPPED
        if held.state in LEAVING and (self._forced or not force):
            return None
        error = await _ask(lambda: self._thing.detach(held, force=force))
        self._forced = force and error is None
        return error

    def _too_late(self, now: Attachment | None, took_s: float) -> CannotMove:
        if now is None:
            why = f"{self._thing.id} isn't attached after {took_s:.0f} s, nor refused"
            return CannotMove(why, passing=self._was_elsewhere)
        why = f"{self._thing.id} is still {now} after {took_s:.0f} s"
        leaving = now.state in LEAVING
        if leaving and now.instance != self._instance:
            why += f"; stop {now.instance}, and the next try takes it by force"
        return CannotMove(why, passing=leaving or self._was_elsewhere)


async def look_at(ec2: Ec2, instance: str, here: str) -> Holder:
    """The state of an instance, and all its addresses in the VPC of `here`, this one; raises AwsError."""
    if not instance:
        return Holder("", "not to be seen", frozenset())
    answer = await patiently(lambda: ec2("describe_instances", InstanceIds=[instance, here]))
    seen = {each["InstanceId"]: each for group in answer["Reservations"] for each in group["Instances"]}
    if instance not in seen:
        return Holder(instance, "not to be seen", frozenset())
    found = seen[instance]
    near = found.get("VpcId") == seen.get(here, {}).get("VpcId")
    return Holder(instance, found["State"]["Name"], _addresses(found) if near else frozenset())


def described(operation: str, things: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The thing that was asked for by its id; AwsError if there is none: an empty answer is no evidence."""
    if not things:
        raise AwsError(AwsFault.SERVER, operation, "EmptyAnswer", "what was asked for by its id isn't in it")
    return things[0]


async def until_there(find: Callable[[], T | None], until_s: float) -> T | None:
    """What `find` finds, looked for until it is there; None when it isn't by `until_s`, a loop's time.

    Looks for DEVICE_GRACE_S at least: what went before may have taken all the time.
    """
    clock = asyncio.get_running_loop().time
    until_s = max(until_s, clock() + DEVICE_GRACE_S)
    while (found := find()) is None and clock() < until_s:  # noqa: ASYNC110 (/dev and /sys tell nobody)
        await asyncio.sleep(min(PAUSE_S, max(0.0, until_s - clock())))
    return found


async def missing_permission(ec2: Ec2, operation: str, **parameters: Any) -> list[Finding]:
    """Whether EC2 would let this node do it, by a dry run, which changes nothing; raises AwsError."""
    try:
        await ec2(operation, authority=ALWAYS, DryRun=True, **parameters)
    except AwsError as error:
        if error.unanswered:
            raise
        if error.kind is AwsFault.AUTH:
            return [Finding(str(error), error.step)]
    return []  # that it would succeed comes as an error, too: DryRunOperation


async def _ask(change: Callable[[], Awaitable[None]]) -> AwsError | None:
    """Send a change; its error if nobody answered, for then the next reading tells."""
    try:
        await patiently(change)
    except AwsError as error:
        if error.passing:
            return error
        if error.code not in LOOK_AGAIN:
            raise
    return None


def _addresses(instance: dict[str, Any]) -> frozenset[str]:
    """Private and public, of all its interfaces."""
    found = [instance.get("PrivateIpAddress"), instance.get("PublicIpAddress")]
    for interface in instance.get("NetworkInterfaces", ()):
        found += [each["Ipv6Address"] for each in interface.get("Ipv6Addresses", ())]
        for private in interface.get("PrivateIpAddresses", ()):
            found += [private["PrivateIpAddress"], private.get("Association", {}).get("PublicIp")]
    return frozenset(each for each in found if each)
