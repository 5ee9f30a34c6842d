"""What a kit is. The agent calls it, one action at a time for each resource.

A kit's invariants:
- every method is idempotent and may be cut short (cancelled) at any await and called again;
- `remove` returns only when the resource is certainly inactive on this node, and needs no network;
- a method returns or raises `KitError`; `Unanswered` (a KitError) says that nobody could tell:
  an API, IMDS or the network didn't answer. That is an alarm, never a reason to move a service;
- it doesn't choose nodes, retry for ever, keep time limits (the agent does), or block the event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from agent.core.ids import FOREVER
from agent.core.states import Health

P = TypeVar("P")
Service = Literal["ec2", "route53", "elbv2", "dynamodb", "s3", "sts", "sns", "ses", "cloudwatch"]  # of AWS


class KitError(Exception):
    """An action failed. Reads `ip-vip: restore: no such device eth9`."""

    def __init__(self, tag: str, action: str, reason: str) -> None:
        super().__init__(f"{tag}: {action}: {reason}")
        self.tag, self.action, self.reason = tag, action, reason


class Unanswered(KitError):
    """Nobody could tell whether it worked: the outcome is UNKNOWN, not FAILED."""


class CommandFailed(Exception):
    """A command ended with a code other than 0. `output` is the tail of what it printed."""

    def __init__(self, argv: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"{argv[0]} exited with {code}: {output.strip() or '(no output)'}")
        self.argv, self.code, self.output = tuple(argv), code, output


@dataclass(frozen=True)
class Check:
    """The answer of `quick_check`: a health and, unless OK, why."""

    health: Health
    why: str = ""

    @classmethod
    def ok(cls) -> Check:
        """It works."""
        return cls(Health.OK)

    @classmethod
    def failed(cls, why: str) -> Check:
        """It certainly doesn't work, or isn't in service here."""
        return cls(Health.FAILED, why)

    @classmethod
    def unknown(cls, why: str) -> Check:
        """Nobody could tell."""
        return cls(Health.UNKNOWN, why)


@dataclass(frozen=True)
class Finding:
    """Something `validate` found that would make an action fail, and what mends it."""

    problem: str
    remedy: str
    certain: bool = True  # False: nobody could tell, such as while AWS doesn't answer


@dataclass(frozen=True, kw_only=True)
class Permission:
    """A statement of the IAM policy that a node's role needs for one resource of one kit."""

    why: str  # the statement's id: letters and digits only, e.g. "RouteVip"
    actions: tuple[str, ...]  # "ec2:ReplaceRoute"
    # ARNs, in which {partition}, {region} and {account} stand for the cluster's own; "*" only where the
    # action knows no resources, as most of EC2's Describe… do.
    resources: tuple[str, ...] = ("*",)
    conditions: Mapping[str, Mapping[str, str | tuple[str, ...]]] = field(  # operator -> key -> value(s)
        default_factory=dict
    )


class Run(Protocol):
    """Runs a command to its end in a process group of its own.

    The group is killed as a whole when the caller is cancelled. Returns stdout; raises
    `CommandFailed` when the code is not 0, `FileNotFoundError` when there is no such program.
    `log` gets each line of stdout and stderr as it is printed, a daemon that the command leaves
    behind goes on running and may keep the output open.
    """

    async def __call__(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,  # added to a minimal environment
        log: Callable[[str], None] | None = None,
    ) -> str:
        """Run `argv`, which is never given to a shell."""


class Authority(Protocol):
    """This node's right to act for one hierarchy, which runs out."""

    def ms_left(self) -> int:
        """For how many milliseconds it may still act; 0 or less: not any more.

        Asked in threads of the AWS session, beside a running event loop, and answered at once.
        """


class _Always:
    def ms_left(self) -> int:
        return FOREVER


ALWAYS: Authority = _Always()  # for what is no hierarchy's: fencing; and for tests


class Ec2(Protocol):
    """EC2 as kits use it: bounded in time, errors told apart (see agent.aws)."""

    async def __call__(
        self,
        operation: str,
        *,
        authority: Authority | None = None,
        role: str | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        """Call e.g. "replace_route"; raises agent.aws.AwsError.

        `role` is the ARN of a role to call as, in another account perhaps; None: the node's own.

        EC2 has no compare-and-set. So whatever isn't `describe_…` or `get_…` needs `authority` (TypeError
        without), and that is asked at the last moment before the request goes out: when it is over,
        nothing is sent, and the AwsError is NO_AUTHORITY.
        """


class Identity(Protocol):
    """Who this machine is to AWS; read from IMDSv2 once and cached."""

    @property
    def instance_id(self) -> str:
        """Such as "i-0abc…"."""

    @property
    def region(self) -> str:
        """Such as "ap-northeast-1"."""

    @property
    def availability_zone(self) -> str:
        """Such as "ap-northeast-1a"."""

    def interface(self, device: str) -> str:
        """The ENI id behind a device name such as "eth0"; raises agent.aws.AwsError if unknown."""


class Aws(Protocol):
    """One bounded AWS session for all kits of an agent."""

    @property
    def ec2(self) -> Ec2:
        """EC2, in this machine's region."""

    async def call(
        self,
        service: Any,
        operation: str,
        *,
        authority: Authority | None = None,
        role: str | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        """Another service's operation, e.g. "route53", "list_resource_record_sets"; otherwise as `Ec2`.

        `authority` is needed for what changes something in "ec2", "route53" or "elbv2".
        """

    async def identity(self) -> Identity:
        """This machine's identity; raises agent.aws.AwsError when IMDS can't be reached."""

    async def refresh_identity(self) -> Identity:
        """The same, read anew: a network interface may have come or gone."""


class NotAgreed(Exception):
    """No majority could be told which copies of the data are whole: this node isn't the owner."""


class Replicas(Protocol):
    """Whose copies of the hierarchy's data hold every acknowledged write, as voters were told."""

    def in_sync(self) -> tuple[str, ...]:
        """The nodes, as far as this one knows; (): no copy counts yet."""

    async def agree(self, nodes: Collection[str]) -> None:
        """Say that exactly these nodes' copies of this resource are whole.

        Returns once nobody who may own the hierarchy later will use any other: only then a write may be
        acknowledged without the others. A node that is new among them is listed soon after. Waits as long as
        a majority doesn't answer; raises NotAgreed when this node may not act for the hierarchy any more.
        """


class _NotReplicated:
    def in_sync(self) -> tuple[str, ...]:
        return ()

    async def agree(self, nodes: Collection[str]) -> None:
        raise NotAgreed(f"nobody to agree on the copies of {', '.join(nodes)}")


NOT_REPLICATED: Replicas = _NotReplicated()  # for kits that aren't, and where no agent runs


@dataclass(frozen=True)
class Site:
    """Where a resource lives: the cluster around it, and folders of its own."""

    cluster: str = ""
    nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # those that may run it -> addresses,
    # the comm path of highest priority first
    dead_after_ms: int = 2_000  # how long silence may last before a node is lost
    state_dir: Path = Path("/var/lib/kagemusha")  # what must survive a restart of the machine
    runtime_dir: Path = Path("/run/kagemusha")  # what must not


@dataclass(frozen=True)
class Tools:
    """What a kit may use; passed in, so that tests can pass in others."""

    tag: str
    node: str
    run: Run
    aws: Aws
    authority: Authority = ALWAYS  # over the resource's hierarchy; for `aws.ec2` and the like
    replicas: Replicas = NOT_REPLICATED  # where the kit is `replicated`
    site: Site = field(default_factory=Site)
    # For a purpose of the kit's: 32 bytes each, the same on all nodes, which nothing but the cluster's key
    # leads to. The first is in use; a second is there while the key is rotated. (): no agent runs here.
    secrets: Callable[[str], tuple[bytes, ...]] = field(default=lambda _purpose: ())
    log: Callable[[str], None] = field(default=lambda _line: None)  # one line to the journal


class Kit(ABC, Generic[P]):
    """One resource on this node."""

    kind: ClassVar[str]  # "ip": the `kit = …` of the TOML
    summary: ClassVar[str]  # one line for people
    Parameters: ClassVar[type[Any]]  # frozen keyword-only dataclass; see agent.config.reader for its types
    aws_services: ClassVar[tuple[Service, ...]] = ()  # the agent loads their clients before it is urgent
    reasserts: ClassVar[bool] = False  # True: a former owner's late call may undo it; see `reassert`
    replicated: ClassVar[bool] = False  # True: each node has a copy of its data; see `Replicas`
    default_check_interval_ms: ClassVar[int] = 10_000  # where the TOML has no check_interval

    def __init__(self, parameters: P, tools: Tools) -> None:
        self.parameters, self.tools = parameters, tools

    @classmethod
    def can_check(cls, parameters: P) -> bool:  # noqa: ARG003 (most kits always can)
        """False where nothing can tell whether it is in service (a script without quickCheck)."""
        return True

    @classmethod
    def can_recover(cls, parameters: P) -> bool:  # noqa: ARG003 (most kits always can)
        """False where nothing can repair it in place: `recover` isn't called, a failure is a failover."""
        return True

    @classmethod
    def may_lose(cls, parameters: P) -> str:  # noqa: ARG003 (most kits lose nothing)
        """What a takeover from a lost owner may cost, for the alarm; "": nothing that was acknowledged."""
        return ""

    @classmethod
    def permissions(cls, parameters: P) -> Sequence[Permission]:  # noqa: ARG003 (most kits need none)
        """What AWS must allow the node's role for it: for `validate` and every action, nothing else."""
        return ()

    @abstractmethod
    async def restore(self) -> None:
        """Bring it in service here; in service already is success."""

    @abstractmethod
    async def remove(self) -> None:
        """Take it out of service here; returns only when it is certainly inactive."""

    async def force_remove(self) -> None:
        """The last try after `remove` failed, by rougher means; default: `remove` again."""
        await self.remove()

    @abstractmethod
    async def quick_check(self) -> Check:
        """Look whether it is in service here and works; cheap, and changes nothing."""

    async def recover(self) -> None:
        """Repair it in place; default: remove, then restore."""
        await self.remove()
        await self.restore()

    async def reassert(self) -> None:
        """Say once more what another node's late call may have undone; only where `reasserts`."""
        await self.restore()

    async def attend(self) -> None:
        """Look after it for as long as it is in service here, until cancelled: then all is left as it is.

        Runs beside `quick_check`, and beside no action that changes the resource. It may return early; when
        it raises it is begun again after a pause. Default: there is nothing to look after.
        """

    async def stand_by(self) -> None:
        """The same for as long as it is certainly out of service here: a copy that another node fills."""

    def details(self) -> Mapping[str, Any]:
        """What people may want to know of it beyond its state: plain data, from memory; default: nothing."""
        return {}

    async def control(self, verb: str, arguments: Mapping[str, str]) -> str:  # noqa: ARG002
        """Do what an operator asks of this kit alone, and say what was done; KitError if it can't be done."""
        raise self.error(verb, f"the kit {self.kind} has nothing of that name")

    async def validate(self) -> list[Finding]:
        """Find in advance what would fail; changes nothing."""
        return []

    def error(self, action: str, reason: str) -> KitError:
        """The KitError of this resource."""
        return KitError(self.tools.tag, action, reason)

    def unanswered(self, action: str, reason: str) -> Unanswered:
        """The Unanswered of this resource."""
        return Unanswered(self.tools.tag, action, reason)
