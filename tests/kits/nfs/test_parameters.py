"""What may be exported, and what is said of what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.errors import BadParameter
from recovery_kits.nfs import NfsParameters

STATE = Path("/mnt/DIR1/state")


def test_a_line_of_exports_becomes_one_export_for_each_client() -> None:
    (one, two, three) = NfsParameters(
        exports=("/mnt/a 10.0.1.7(rw,fsid=3) fd00::/64(ro,fsid=3)", "/mnt/b *"), state=STATE
    ).each_export()
    assert one.argument == "10.0.1.7/32:/mnt/a"  # an address alone would be looked up in DNS
    assert one.options == "rw,fsid=3,no_subtree_check"
    assert two.argument == "[fd00::]/64:/mnt/a"
    assert three.argument == "*:/mnt/b"


def test_a_file_handle_does_not_depend_on_what_else_is_exported() -> None:
    first = NfsParameters(exports=("/mnt/a *", "/mnt/b *"), state=STATE).each_export()
    other = NfsParameters(exports=("/mnt/b 10.0.0.0/8(ro)", "/mnt/c *"), state=STATE).each_export()
    assert first[1].fsid == other[0].fsid
    assert len({each.fsid for each in first + other}) == 3


@pytest.mark.parametrize(
    ("exports", "message"),
    [
        (("",), "doesn't begin with the plain path"),
        (("mnt/a *",), "doesn't begin with the plain path"),
        (("/ *",), "doesn't begin with the plain path"),
        (("/mnt/../etc *",), "doesn't begin with the plain path"),
        (("/mnt/a",), "/mnt/a has no client"),
        (("/mnt/a *(rw",), "is not a client"),
        (("/mnt/a (rw)",), "is not a client"),
        (("/mnt/a app-01(rw)",), "app-01 is no address, network or *"),
        (("/mnt/a 10.0.1.0/16(rw)",), "has host bits set"),
        (("/mnt/a *(rw,async)",), "would lose what was acknowledged"),
        (("/mnt/a * *(ro)",), "exported to * twice"),
        (("/mnt/a *(fsid=1)", "/mnt/b *(fsid=1)"), "have the same fsid"),
        (("/mnt/a *(fsid=1) 10.0.0.0/8(fsid=2)",), "has two fsids"),
    ],
)
def test_a_wrong_export_is_told(exports: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadParameter) as refused:
        NfsParameters(exports=exports, state=STATE)
    assert refused.value.key == "exports"
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("lease", {"lease_ms": 15_500}),
        ("grace", {"grace_ms": 20_500}),
        ("grace", {"lease_ms": 30_000}),
        ("state", {"state": Path("/mnt/../state")}),
        ("state", {"state": Path("/")}),
    ],
)
def test_another_wrong_value_is_told(key: str, changes: dict[str, int]) -> None:
    with pytest.raises(BadParameter) as refused:
        NfsParameters(**{"exports": ("/mnt/a *",), "state": STATE, **changes})  # type: ignore[arg-type]
    assert refused.value.key == key
