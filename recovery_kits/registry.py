"""Which kits there are: the built-in ones, and those that other packages bring.

A package adds a kit by an entry point of the group `kagemusha.recovery_kits`, named like its `kind`:

    [project.entry-points."kagemusha.recovery_kits"]
    oracle = "our_kits.oracle:OracleKit"

A kit is imported when it is first asked for, so an agent pays only for those it uses. One that can't be
used is as if it weren't there; the journal and `broken()` say why.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from recovery_kits.contract import Kit

GROUP = "kagemusha.recovery_kits"
BUILT_IN = {  # the same as in pyproject.toml: a source tree works without being installed
    "ebs": "recovery_kits.ebs:EbsKit",
    "elastic-ip": "recovery_kits.elastic_ip:ElasticIpKit",
    "eni": "recovery_kits.eni:EniKit",
    "filesystem": "recovery_kits.filesystem:FilesystemKit",
    "generic": "recovery_kits.generic:GenericKit",
    "ip": "recovery_kits.ip:IpKit",
    "lb-health": "recovery_kits.lb_health:LbHealthKit",
    "mirror": "recovery_kits.mirror:MirrorKit",
    "nfs": "recovery_kits.nfs:NfsKit",
    "private-ip": "recovery_kits.private_ip:PrivateIpKit",
    "route": "recovery_kits.route:RouteKit",
    "route53": "recovery_kits.route53:Route53Kit",
    "systemd": "recovery_kits.systemd:SystemdKit",
    "target-group": "recovery_kits.target_group:TargetGroupKit",
    "transit-gateway-route": "recovery_kits.transit_gateway_route:TransitGatewayRouteKit",
}

_journal = logging.getLogger(__name__)


class Kits(Mapping[str, type[Kit[Any]]]):
    """Kits by kind. `broken` says of each kind that was asked for and can't be used what is wrong."""

    def __init__(self, points: Mapping[str, EntryPoint]) -> None:
        self._points = dict(sorted(points.items()))
        self._loaded: dict[str, type[Kit[Any]]] = {}
        self._broken: dict[str, str] = {}
        self.broken = MappingProxyType(self._broken)

    def __getitem__(self, kind: str) -> type[Kit[Any]]:
        """The kit of that kind, imported now if need be; KeyError when there is none that works."""
        if kind not in self._loaded:
            if kind in self._broken:
                raise KeyError(kind)
            self._load(kind, self._points[kind])
        return self._loaded[kind]

    def __iter__(self) -> Iterator[str]:
        """All kinds except those that turned out to be broken."""
        return (kind for kind in self._points if kind not in self._broken)

    def __len__(self) -> int:
        """How many kinds."""
        return len(self._points) - len(self._broken)

    def _load(self, kind: str, point: EntryPoint) -> None:
        try:
            kit = point.load()
            why = _objection(kind, kit)
        except Exception as problem:  # noqa: BLE001 (somebody else's code runs here: anything may come out)
            why = f"{type(problem).__name__}: {problem}"
        else:
            if why is None:
                self._loaded[kind] = kit
                return
        self._broken[kind] = f"{point.value}: {why}"
        _journal.warning("kit %s can't be used: %s", kind, self._broken[kind])
        raise KeyError(kind)


@functools.cache
def kits() -> Kits:
    """All kits. A built-in one can't be replaced: another of the same name is left out."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    for kind, value in BUILT_IN.items():
        if kind in points and points[kind].value != value:
            _journal.warning("kit %s of %s is left out: that name is built in", kind, points[kind].value)
        points[kind] = EntryPoint(kind, value, GROUP)
    return Kits(points)


def _objection(kind: str, kit: object) -> str | None:
    """Why this can't be used as a kit, or None."""
    if not (isinstance(kit, type) and issubclass(kit, Kit)):
        return "not a subclass of recovery_kits.contract.Kit"
    missing = [name for name in ("kind", "summary", "Parameters") if not hasattr(kit, name)]
    if missing:
        return f"lacks {', '.join(missing)}"
    if kit.kind != kind:
        return f"calls itself {kit.kind!r}"
    return None
