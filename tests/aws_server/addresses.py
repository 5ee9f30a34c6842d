"""How AWS moves secondary private addresses and Elastic IPs, where moto doesn't: it leaves an address on both
ENIs, finds ENIs by their primary address only, and leads Elastic IPs to the primary address only.

Patches moto's classes for the whole process; written against moto 5.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.models.elastic_network_interfaces import NetworkInterfaceBackend
from moto.ec2.responses.elastic_ip_addresses import ElasticIPAddresses
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces

BY_ADDRESS = "addresses.private-ip-address"
_moto_assign = ElasticNetworkInterfaces.assign_private_ip_addresses
_moto_associate = ElasticIPAddresses.associate_address
_moto_enis = NetworkInterfaceBackend.get_all_network_interfaces


def patches() -> Iterator[tuple[type, str, Callable[..., Any] | property]]:
    """Class, name, and what belongs there."""
    yield ElasticNetworkInterfaces, "assign_private_ip_addresses", _assign
    yield NetworkInterfaceBackend, "get_all_network_interfaces", _enis
    yield ElasticIPAddresses, "associate_address", _associate
    yield ElasticAddress, "private_ip_address", property(_private_address)


def _assign(response: Any) -> Any:
    """Take the addresses from the ENIs that have them, of the same subnet; refuse what AWS refuses."""
    backend = response.ec2_backend
    taker = backend.get_network_interface(response._get_param("NetworkInterfaceId"))
    for wanted in response._get_param("PrivateIpAddresses", []):
        if IPv4Address(wanted) not in IPv4Network(taker.subnet.cidr_block):
            text = "Address does not fall within the subnet's address range"
            backend.raise_error("InvalidParameterValue", text)
        for eni in backend.enis.values():
            held = next((each for each in eni.private_ip_addresses if _ip(each) == wanted), None)
            if eni is taker or held is None or eni.subnet is not taker.subnet:
                continue
            if held.get("Primary"):
                backend.raise_error("InvalidParameterValue", f"{wanted} is a primary address")
            if not response._get_param("AllowReassignment", if_none=False):
                text = f"[{wanted}] assigned, but move is not allowed."
                backend.raise_error("InvalidParameterValue", text)
            eni.private_ip_addresses.remove(held)
    return _moto_assign(response)


def _enis(backend: Any, eni_ids: Any = None, filters: Any = None) -> Any:
    """Found by any of their addresses; each address tells of the Elastic IP that leads to it."""
    filters = dict(filters or {})
    wanted = filters.pop(BY_ADDRESS, None)
    found = _moto_enis(backend, eni_ids, filters)
    for eni in found:
        for each in eni.private_ip_addresses:
            each["Association"] = next(
                (
                    {
                        "PublicIp": eip.public_ip,
                        "AllocationId": eip.allocation_id,
                        "AssociationId": eip.association_id,
                    }
                    for eip in backend.addresses
                    if eip.eni is eni and eip.private_ip_address == _ip(each)
                ),
                None,
            )
    return [eni for eni in found if wanted is None or {*map(_ip, eni.private_ip_addresses)} & {*wanted}]


def _associate(response: Any) -> Any:
    """Lead it to the address that is named, and drive out another Elastic IP that leads there."""
    if not {"AllocationId", "NetworkInterfaceId"} <= response._get_params().keys():
        return _moto_associate(response)
    backend, private = response.ec2_backend, response._get_param("PrivateIpAddress")
    eni = backend.get_network_interface(response._get_param("NetworkInterfaceId"))
    if private and private not in map(_ip, eni.private_ip_addresses):
        text = f"{eni.id} doesn't have the private address {private}"
        backend.raise_error("InvalidParameterValue", text)
    answer = _moto_associate(response)
    (new,) = backend.address_by_allocation([response._get_param("AllocationId")])
    new.private = private
    for old in backend.addresses:
        if old is not new and old.eni is eni and old.private_ip_address == new.private_ip_address:
            old.eni = old.association_id = None
    return answer


def _private_address(eip: Any) -> str | None:
    """Where it leads: the primary address unless another is named."""
    if eip.eni is None:
        return None
    return str(getattr(eip, "private", None) or eip.eni.private_ip_address)


def _ip(described: dict[str, Any]) -> str:
    return str(described["PrivateIpAddress"])
