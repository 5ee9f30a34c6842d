"""Instances and ENIs: what an instance and its first ENI share on AWS is kept once, by the ENI, where moto
has two copies; an ENI that was made with an instance or a NAT gateway goes with it, unless told otherwise;
and one that stays is free when its instance is gone.

Patches moto's classes for the whole process; written against moto 5.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance
from moto.ec2.models.nat_gateways import NatGatewayBackend

_moto_delete_nat = NatGatewayBackend.delete_nat_gateway
_moto_prepare = Instance.prep_nics
_moto_terminate = Instance.terminate


def patches() -> Iterator[tuple[type, str, object]]:
    """Class, name, and what belongs there."""
    yield Instance, "security_groups", property(_groups, _set_groups)
    yield Instance, "source_dest_check", property(_checks, _set_check)
    yield Instance, "prep_nics", _prepare
    yield Instance, "terminate", _terminate
    yield NatGatewayBackend, "delete_nat_gateway", _delete_nat
    yield NetworkInterface, "group_set", property(lambda eni: eni._group_set)


def _prepare(instance: Any, wanted: list[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
    _moto_prepare(instance, wanted, *args, **kwargs)
    kept = {
        int(each["DeviceIndex"])
        for each in wanted
        if each.get("NetworkInterfaceId") or each.get("DeleteOnTermination") is False
    }
    for index in instance.nics.keys() - kept:
        instance.nics[index].delete_on_termination = True


def _terminate(instance: Any) -> Any:
    before, known = _moto_terminate(instance), dict(instance.nics)
    for eni in known.values():
        if not eni.delete_on_termination:
            instance.detach_eni(eni)
    instance.nics = known  # by them moto goes on telling what addresses it had
    return before


def _delete_nat(backend: Any, name: str) -> Any:
    gateway: Any = _moto_delete_nat(backend, name)
    backend.delete_network_interface(gateway._eni.id)
    return gateway


def _first(instance: Any) -> Any:
    """The ENI of device 0; None while the instance is being made."""
    return vars(instance).get("nics", {}).get(0)


def _groups(instance: Any) -> list[Any]:
    first = _first(instance)
    return list(first.group_set) if first else vars(instance).get("first_groups", [])


def _set_groups(instance: Any, groups: list[Any]) -> None:
    first = _first(instance)
    if first:
        first._group_set = groups
    else:
        instance.first_groups = groups


def _checks(instance: Any) -> bool:
    first = _first(instance)
    return bool(first.source_dest_check) if first else True


def _set_check(instance: Any, value: object) -> None:
    first = _first(instance)
    if first:
        first.source_dest_check = str(value).lower() == "true"  # "false", as the request has it
