"""Where moto's Route 53 differs from AWS in ways that matter to who changes records, put right.

moto lets a DELETE pass that matches what a record was once, and a CREATE of what is there already; it applies
half of a batch that it refuses then; and it has every change in sync at once. Here a change is in sync when
it is asked about for the second time. Written against moto 5.2.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from moto.core.responses import ActionResult
from moto.route53.exceptions import Route53ClientError
from moto.route53.models import HostedZoneIdentifier, RecordSet, Route53Backend
from moto.route53.responses import Route53

_make_record: Any = RecordSet  # abstract by its types, and yet what moto makes itself
_moto_create_zone = Route53.create_hosted_zone
_moto_get_zone = Route53.get_hosted_zone
_moto_zone_id = HostedZoneIdentifier.generate
_numbers = itertools.count(1)
_asked: set[str] = set()  # ids of the changes that somebody has asked about


def patches() -> tuple[tuple[type, str, object], ...]:
    """What to put where in moto."""
    return (
        (Route53Backend, "change_resource_record_sets", _change_records),
        (Route53, "change_resource_record_sets", _answer_change),
        (Route53, "get_change", _get_change),
        (Route53, "create_hosted_zone", _create_zone),
        (Route53, "get_hosted_zone", _get_zone),
        (HostedZoneIdentifier, "generate", _zone_id),
    )


def _zone_id(zone: Any, *args: Any, **kwargs: Any) -> str:
    """AWS's begin with Z."""
    return f"Z{_moto_zone_id(zone, *args, **kwargs)[1:]}"


def _create_zone(response: Any) -> Any:
    """One that is made within a VPC is private, whether that is said or not."""
    if response._get_param("VPC"):
        response.params.setdefault("HostedZoneConfig", {})["PrivateZone"] = True
    return _moto_create_zone(response)


def _get_zone(response: Any) -> ActionResult:
    """moto words the VPCs of a private zone in its own way."""
    answer: Any = _moto_get_zone(response)
    if vpcs := answer.result["VPCs"]:
        answer.result["VPCs"] = [
            {"VPCId": each["vpc_id"], "VPCRegion": each.get("vpc_region")} for each in vpcs
        ]
    return ActionResult(answer.result)


def _answer_change(response: Any) -> ActionResult:
    response.backend.change_resource_record_sets(
        response._get_param("HostedZoneId"), response._get_param("ChangeBatch.Changes")
    )
    return _change_info(f"/change/C{next(_numbers):013}", "PENDING")


def _get_change(response: Any) -> ActionResult:
    name = response._get_param("Id")
    status = "INSYNC" if name in _asked else "PENDING"
    _asked.add(name)
    return _change_info(name, status)


def _change_info(name: str, status: str) -> ActionResult:
    return ActionResult({"ChangeInfo": {"Id": name, "Status": status, "SubmittedAt": "2026-11-22T00:00:00Z"}})


def _change_records(backend: Any, zone_id: str, changes: list[dict[str, Any]]) -> None:
    """All of the changes or none, as AWS has it."""
    zone = backend.get_hosted_zone(zone_id)
    after = {_key(each): each for each in zone.rrsets}
    for change in changes:
        described = dict(change["ResourceRecordSet"])
        described["Name"] = described["Name"].rstrip(".") + "."
        if "ResourceRecords" in described:
            described["ResourceRecords"] = [each["Value"] for each in described["ResourceRecords"]]
        wanted = _make_record(described)
        _apply(change["Action"], wanted, after, zone.name)
    zone.rrsets = list(after.values())


def _apply(action: str, wanted: Any, records: dict[Any, Any], zone: str) -> None:
    key, what = _key(wanted), f"[name='{wanted.name}', type='{wanted.type}']"
    if not f".{wanted.name}".endswith(f".{zone}"):
        raise _refusal(f"RRSet with DNS name {wanted.name} is not permitted in zone {zone}")
    present = records.get(key)
    match action:
        case "DELETE":
            if present is None:
                raise _refusal(f"Tried to delete resource record set {what} but it was not found")
            if _content(present) != _content(wanted):
                text = "but the values provided do not match the current values"
                raise _refusal(f"Tried to delete resource record set {what} {text}")
            del records[key]
        case "CREATE":
            if present is not None:
                raise _refusal(f"Tried to create resource record set {what} but it already exists")
            _refuse_beside_cname(wanted, records, what)
            records[key] = wanted
        case "UPSERT":
            records[key] = wanted


def _refuse_beside_cname(wanted: Any, records: Mapping[Any, Any], what: str) -> None:
    types = {each.type for each in records.values() if each.name == wanted.name}
    if "CNAME" in types or (wanted.type == "CNAME" and types):
        raise _refusal(f"RRSet of type {wanted.type} with DNS name {what} conflicts with a CNAME")


def _refusal(text: str) -> Route53ClientError:
    return Route53ClientError("InvalidChangeBatch", f"[{text}]")


def _key(record: Any) -> tuple[str, str, str | None]:
    return record.name, record.type, record.set_identifier


def _content(record: Any) -> tuple[Any, ...]:
    alias = record.alias_target and sorted(record.alias_target.items())
    return int(record.ttl or 0), sorted(record.records), alias
