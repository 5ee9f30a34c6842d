"""What of the `filesystem` kit needs no filesystem."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.config.errors import BadParameter
from recovery_kits.contract import CommandFailed
from recovery_kits.filesystem.device import FilesystemParameters
from recovery_kits.filesystem.mounts import Mount, deepest_first, on_top, parse_mountinfo
from recovery_kits.filesystem.unmount import still_claimed
from recovery_kits.filesystem.validation import findings
from tests.kits.fakes import Table, failed, tools

MOUNTINFO = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw,discard
36 22 259:1 / /mnt/DIR1 rw,noatime shared:7 master:2 - xfs /dev/nvme1n1p1 rw,attr2
37 36 0:40 / /mnt/DIR1/a\\040b\\134c rw - tmpfs tmp\\043fs ro,size=1m
38 22 0:41 /sub /mnt/DIR10 ro - tmpfs  rw
"""


def test_mountinfo_is_read_with_its_optional_fields_and_escapes() -> None:
    _, data, nested, bind = parse_mountinfo(MOUNTINFO)
    assert data == Mount("259:1", "/", "/mnt/DIR1", read_only=False, type="xfs", source="/dev/nvme1n1p1")
    assert (nested.mount_point, nested.source, nested.read_only) == ("/mnt/DIR1/a b\\c", "tmp#fs", True)
    assert (bind.root, bind.source, bind.read_only) == ("/sub", "", True)


@pytest.mark.parametrize("line", ["nonsense", "22 1 259:2 / / rw - ", "22 1 259:2 / - ext4 /dev/root rw"])
def test_a_line_of_another_shape_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a line of mountinfo"):
        parse_mountinfo(MOUNTINFO + line)


def test_what_is_below_is_unmounted_first() -> None:
    mounts = parse_mountinfo(MOUNTINFO)
    covering = Mount("0:50", "/", "/mnt/DIR1", read_only=False, type="tmpfs", source="tmpfs")
    order = [mount.source for mount in deepest_first([*mounts[1:3], covering])]
    assert order == ["tmp#fs", "tmpfs", "/dev/nvme1n1p1"]
    assert on_top([*mounts, covering], "/mnt/DIR1") is covering
    assert not mounts[1].covers("/mnt/DIR10")


@pytest.mark.parametrize(
    ("parameters", "key"),
    [
        ({"mount_point": Path("/")}, "mount_point"),
        ({"mount_point": Path("/mnt/../etc")}, "mount_point"),
        ({"device": "srv", "options": "bind"}, "device"),
        ({"device": "/mnt/DIR1/sub", "options": "bind"}, "device"),
        ({"fsck": True, "type": "xfs"}, "fsck"),
    ],
)
def test_parameters_that_cannot_work_are_refused(parameters: dict[str, Any], key: str) -> None:
    good: dict[str, Any] = {"device": "/dev/sdb", "mount_point": Path("/mnt/DIR1")}
    with pytest.raises(BadParameter) as caught:
        FilesystemParameters(**{**good, **parameters})
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("fstab", "found"),
    [
        ("/dev/sdb /elsewhere xfs defaults 0 2\n", True),
        ("UUID=1 /mnt/DIR1 xfs defaults 0 2\n", True),
        ("/dev/sdb /mnt/DIR1 xfs noatime,noauto 0 2\n", False),
        ("# /dev/sdb /mnt/DIR1 xfs defaults 0 2\n\nUUID=1 / ext4 defaults 0 1\n", False),
    ],
)
def test_fstab_must_not_mount_it(tmp_path: Path, table: Table, fstab: str, found: bool) -> None:
    (tmp_path / "fstab").write_text(fstab)
    (tmp_path / "point").mkdir()
    text = fstab.replace("/mnt/DIR1", str(tmp_path / "point"))
    (tmp_path / "fstab").write_text(text)
    parameters = FilesystemParameters(device="/dev/sdb", mount_point=tmp_path / "point")
    problems = [finding.problem for finding in asyncio.run(findings(parameters, table, tmp_path / "fstab"))]
    assert any("at boot" in problem for problem in problems) is found


def test_a_device_that_cannot_be_asked_is_not_free(table: Table) -> None:
    table.answer(by=failed(output="Device or resource busy\n"))
    assert asyncio.run(still_claimed("/dev/sdb", tools(table), grace_s=0)) == "Device or resource busy"
    table.answer(by=FileNotFoundError(2, "no python"))
    assert asyncio.run(still_claimed("/dev/sdb", tools(table), grace_s=0))
    table.answer(by=CommandFailed(("python",), 1, ""))
    assert asyncio.run(still_claimed("/dev/sdb", tools(table), grace_s=0))
    table.answer()
    assert asyncio.run(still_claimed("/dev/sdb", tools(table), grace_s=0)) == ""
