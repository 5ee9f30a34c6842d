"""Kits with small parameters of every kind, and the files the tests start from."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from agent.config.errors import BadParameter
from agent.config.resources import Kits


@dataclass(frozen=True, kw_only=True)
class AddressParameters:
    address: Annotated[IPv4Interface | IPv6Interface, Meta(description="The virtual address.")]
    device: Annotated[str, Meta(min_length=1, max_length=15, examples=["eth0"])] = "eth0"
    announce_ms: Annotated[int, Meta(ge=100, le=60_000)] = 2_000


class AddressKit:
    kind: ClassVar[str] = "address"
    summary: ClassVar[str] = "An address on a device"
    default_check_interval_ms: ClassVar[int] = 10_000
    reasserts: ClassVar[bool] = True
    replicated: ClassVar[bool] = False
    Parameters: ClassVar[type[Any]] = AddressParameters

    @classmethod
    def can_check(cls, parameters: Any) -> bool:
        return True

    @classmethod
    def may_lose(cls, parameters: Any) -> str:
        return ""

    @classmethod
    def can_recover(cls, parameters: Any) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class ScriptParameters:
    restore: Path
    remove: Path
    quick_check: Path | None = None
    recover: Path | None = None
    id: str = ""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    mode: Literal["once", "daemon"] = "daemon"
    weight: float = 1.0
    labels: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(max_length=2)] = ()

    def __post_init__(self) -> None:
        if self.restore == self.remove:
            raise BadParameter("remove", "is the same script as restore: write two")


class ScriptKit:
    kind: ClassVar[str] = "script"
    summary: ClassVar[str] = "Anything with scripts"
    default_check_interval_ms: ClassVar[int] = 30_000
    reasserts: ClassVar[bool] = False
    replicated: ClassVar[bool] = False
    Parameters: ClassVar[type[Any]] = ScriptParameters

    @classmethod
    def can_check(cls, parameters: Any) -> bool:
        assert isinstance(parameters, ScriptParameters)
        return parameters.quick_check is not None

    @classmethod
    def may_lose(cls, parameters: Any) -> str:
        return ""

    @classmethod
    def can_recover(cls, parameters: Any) -> bool:
        assert isinstance(parameters, ScriptParameters)
        return parameters.recover is not None


KITS: Kits = {kit.kind: kit for kit in (AddressKit, ScriptKit)}
SOURCE = Path("cluster.toml")
GOOD = (Path(__file__).parent / "good.toml").read_text()
