"""A record and who owns it, as Route 53 lists them; and the one change that moves both.

The owner stands in a TXT record beside the record: `_kagemusha-a.groupware.example.com` for type A. Each
claim deletes the TXT record as it was read and creates the next, whose serial is one higher, in the batch
that changes the record. Route 53 applies a batch as a whole or not at all, and refuses to delete what isn't
exactly so: a batch that was made of an older reading fails, whenever it arrives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from recovery_kits.route53.parameters import RecordType, canonical

OWNER_TTL_S = 60  # nobody resolves it
_OWNER = re.compile(r'"kagemusha cluster=(\S+) resource=(\S+) node=(\S+) serial=([0-9]{1,15})"')


@dataclass(frozen=True)
class Owner:
    """Who wrote the record last."""

    cluster: str
    resource: str  # its tag
    node: str
    serial: int = 0  # counts the claims

    def __str__(self) -> str:
        """The TXT record's value."""
        return (
            f'"kagemusha cluster={self.cluster} resource={self.resource} '
            f'node={self.node} serial={self.serial}"'
        )

    def same_resource(self, other: Owner) -> bool:
        """Whether both are the same resource's, on whichever node."""
        return (self.cluster, self.resource) == (other.cluster, other.resource)


@dataclass(frozen=True)
class Record:
    """A resource record set."""

    name: str  # without a dot at its end
    type: str
    ttl_s: int
    values: tuple[str, ...]  # exactly as listed: only so can it be deleted
    plain: bool = True  # False: an alias, or one of several by a routing policy

    def change(self, action: str) -> dict[str, Any]:
        """CREATE or DELETE this."""
        values = [{"Value": each} for each in self.values]
        described = {"Name": self.name, "Type": self.type, "TTL": self.ttl_s, "ResourceRecords": values}
        return {"Action": action, "ResourceRecordSet": described}


@dataclass(frozen=True)
class Reading:
    """What one look at the zone has shown."""

    record: Record | None
    owner_record: Record | None  # the TXT record
    other_types: frozenset[str]  # of other records at the record's name

    @property
    def owner(self) -> Owner | None:
        """The owner, if the TXT record is there and names one."""
        found = _OWNER.fullmatch(" ".join(self.owner_record.values)) if self.owner_record else None
        return Owner(found[1], found[2], found[3], int(found[4])) if found else None

    def objection(self, me: Owner, *, adopt: bool) -> tuple[str, str] | None:
        """Why `me` may not write the record, and what mends it."""
        if self.owner_record is not None:
            owner, text = self.owner, ", ".join(self.owner_record.values)
            if owner is None or not owner.same_resource(me):
                problem = f"it belongs to another: the TXT record {self.owner_record.name} says {text}"
                return problem, "choose another name; or, if that owner is gone, delete the TXT record"
        if self.record is None:
            return None
        if not self.record.plain:
            return "it is an alias or has a routing policy", "delete it, or choose another name"
        if self.owner_record is None and not adopt:
            values = ", ".join(self.record.values)
            return f"it exists already ({values}), and no cluster owns it", "set adopt = true, or delete it"
        return None

    def claim(self, wanted: Record, owner_name: str, me: Owner) -> tuple[Owner, list[dict[str, Any]]]:
        """The next owner, and the changes that make it so if everything is still as in this reading."""
        next_owner = replace(me, serial=self.owner.serial + 1 if self.owner else 1)
        next_record = Record(owner_name, "TXT", OWNER_TTL_S, (str(next_owner),))
        changes = []
        for old, new in ((self.record, wanted), (self.owner_record, next_record)):
            if old != new:
                changes += [old.change("DELETE")] if old else []
                changes.append(new.change("CREATE"))
        return next_owner, changes

    def why_not(self, wanted: Record, me: Owner) -> str | None:
        """What is wrong unless the record is as wanted, and this node's."""
        if self.record is None:
            return "doesn't exist"
        if found := self.objection(me, adopt=False):
            return found[0].replace("it ", "", 1)
        if self.owner is None or self.owner.node != me.node:
            return f"belongs to {self.owner.node if self.owner else 'nobody'}"
        if _meaning(self.record) != _meaning(wanted):
            return f"leads to {', '.join(self.record.values)}"
        if self.record.ttl_s != wanted.ttl_s:
            return f"has a TTL of {self.record.ttl_s} s"
        return None


def owner_name(name: str, record_type: RecordType) -> str:
    """Where the owner of a record stands: each type has its own, so that A and AAAA may share a name."""
    return f"_kagemusha-{record_type.lower()}.{name}"


def read_records(answer: Mapping[str, Any], name: str, record_type: RecordType) -> Reading:
    """The reading in ListResourceRecordSets' answer."""
    listed = [_read(each) for each in answer["ResourceRecordSets"]]
    beside = owner_name(name, record_type)
    return Reading(
        record=_one(listed, name, record_type),
        owner_record=_one(listed, beside, "TXT"),
        other_types=frozenset(each.type for each in listed if each.name == name and each.type != record_type),
    )


def _one(listed: list[Record], name: str, record_type: str) -> Record | None:
    return next((each for each in listed if (each.name, each.type) == (name, record_type)), None)


def _read(described: Mapping[str, Any]) -> Record:
    values = tuple(each["Value"] for each in described.get("ResourceRecords", ()))
    plain = "AliasTarget" not in described and "SetIdentifier" not in described
    name = described["Name"].rstrip(".").lower()
    return Record(name, described["Type"], described.get("TTL", 0), values, plain)


def _meaning(record: Record) -> list[str | None]:
    kind: Any = record.type
    return sorted((canonical(kind, each) for each in record.values), key=str)
