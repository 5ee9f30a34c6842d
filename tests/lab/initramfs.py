"""The archive that a guest's kernel unpacks first: busybox, the modules that find the root, `init.sh`.

Format: "newc" of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# What finds the root and the disks; every other module comes from the image.
MODULES = ("virtio_pci", "virtio_console", "virtiofs", "overlay", "virtio_blk", "virtio_net")
FOLDERS = ("bin", "dev", "new", "proc", "ro", "rw", "state", "sys", "tools")


@dataclass(frozen=True)
class _Entry:
    name: str
    mode: int
    data: bytes = b""


def initramfs(modules: Path, busybox: Path) -> bytes:
    """The archive, for the kernel whose folder /lib/modules/VERSION is `modules`; depmod has run there."""
    entries = {name: _Entry(name, stat.S_IFDIR | 0o755) for name in FOLDERS}
    init = Path(__file__).with_name("init.sh")
    for name, source in (("init", init), ("bin/busybox", busybox)):
        entries[name] = _Entry(name, stat.S_IFREG | 0o755, source.read_bytes())
    base = f"lib/modules/{modules.name}"
    needs = _needs(modules)
    lines = "".join(f"{path}: {' '.join(others)}\n" for path, others in needs.items())
    files = {f"{base}/{path}": (modules / path).read_bytes() for path in needs}
    for name, data in {**files, f"{base}/modules.dep": lines.encode()}.items():
        for folder in reversed(PurePosixPath(name).parents[:-1]):
            entries.setdefault(str(folder), _Entry(str(folder), stat.S_IFDIR | 0o755))
        entries[name] = _Entry(name, stat.S_IFREG | 0o644, data)
    trailer = _Entry("TRAILER!!!", 0)
    return b"".join(_packed(number, each) for number, each in enumerate([*entries.values(), trailer], 1))


def _needs(modules: Path) -> Mapping[str, list[str]]:
    """Path -> paths of the modules it depends on, for MODULES and all those."""
    depends = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        depends[path] = others.split()
    named = {Path(path).stem.replace("-", "_"): path for path in depends}
    wanted = [named[name] for name in MODULES if name in named]  # else it is part of the kernel
    # modules.dep names what is needed indirectly as well
    paths = {path for name in wanted for path in (name, *depends[name])}
    return {path: depends[path] for path in sorted(paths)}


def _packed(number: int, entry: _Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return _padded(head) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
