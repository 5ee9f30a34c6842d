"""What would keep a mirror from working on this node, or destroy it behind the agent's back."""

from __future__ import annotations

import asyncio
import errno
import re
import shutil
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from recovery_kits.contract import CommandFailed, Finding, Tools
from recovery_kits.mirror.disk import Disk, Holds
from recovery_kits.mirror.place import Place
from recovery_kits.mirror.users import users

_PROGRAMS = {"mdadm": "mdadm", "nbdkit": "nbdkit", "wipefs": "util-linux", "dd": "coreutils"}
_FILTERS = ("exportname", "retry-request", "fua")  # of nbdkit; the newest came with 1.30
_MODULES = ("md-mod", "raid1", "nbd")
_CONFIGURATIONS = (Path("/etc/mdadm/mdadm.conf"), Path("/etc/mdadm.conf"))
_NO_AUTO = re.compile(r"^\s*AUTO\b.*-all\b", re.MULTILINE)


async def findings(
    place: Place,
    tools: Tools,
    look: Callable[[], Awaitable[Disk]],
    configurations: tuple[Path, ...] = _CONFIGURATIONS,
) -> list[Finding]:
    """Look; changes nothing. Raises OSError."""
    return [
        *_program_findings(),
        *await _filter_findings(tools),
        *await _module_findings(tools),
        *await _disk_findings(place, look),
        *_network_findings(place),
        *await asyncio.to_thread(_assembly_findings, configurations),
    ]


def _program_findings() -> list[Finding]:
    return [
        Finding(f"there is no {program}", f"install the package {package}")
        for program, package in _PROGRAMS.items()
        if shutil.which(program) is None
    ]


async def _filter_findings(tools: Tools) -> list[Finding]:
    if shutil.which("nbdkit") is None:
        return []
    filters = (f"--filter={each}" for each in _FILTERS)
    try:
        await tools.run("nbdkit", *filters, "--dump-plugin", "file")
    except (CommandFailed, OSError) as problem:
        return [
            Finding(f"nbdkit lacks something: {problem}", "install nbdkit 1.30 or newer with its filters")
        ]
    return []


async def _module_findings(tools: Tools) -> list[Finding]:
    found = []
    for module in _MODULES:
        if (Path("/sys/module") / module.replace("-", "_")).exists():
            continue
        try:
            await tools.run("modprobe", "--dry-run", "--quiet", module)
        except (CommandFailed, OSError):
            found.append(Finding(f"the kernel has no module {module}", "install one that has md and nbd"))
    return found


async def _disk_findings(place: Place, look: Callable[[], Awaitable[Disk]]) -> list[Finding]:
    path = place.disk
    if not _is_block_device(path):
        return [Finding(f"{path} is not a block device here", "list what there is: lsblk")]
    using = [use for use in users(place.disk_name) if not use.startswith("md")]  # that may be ours
    if using:
        return [Finding(f"{path} is in use: {', '.join(using)}", "name a disk that nothing else uses")]
    disk = await look()
    if disk.holds is Holds.UNREADABLE:
        return [Finding(disk.why, "look after the disk")]
    if disk.holds is Holds.FOREIGN:
        remedy = f"name another, or if that is of no use: kage mirror wipe {place.tag} {place.node}"
        return [Finding(disk.why, remedy)]
    return []


def _is_block_device(path: str) -> bool:
    return Path(path).is_block_device()  # below /dev, which never hangs


def _network_findings(place: Place) -> list[Finding]:
    """A port that anybody has whose server isn't ours; ours holds it while this node stands by."""
    if not place.own_addresses or not all(place.peers.values()) or not place.peers:
        return [Finding("a node of the hierarchy has no address, or there is only one", "name two nodes")]
    ours = place.runtime / place.tag
    if ours.exists():
        return []
    found = []
    for address in place.own_addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((address, place.port))
            except OSError as error:
                elsewhere = error.errno == errno.EADDRNOTAVAIL
                remedy = "correct this node's comm path" if elsewhere else "write another port on all nodes"
                found.append(Finding(f"{address} port {place.port}: {error.strerror}", remedy))
    return found


def _assembly_findings(configurations: tuple[Path, ...]) -> list[Finding]:
    for path in configurations:
        try:
            if _NO_AUTO.search(path.read_text(errors="replace")):
                return []
        except FileNotFoundError:
            continue
    problem = "mdadm may assemble the mirror by itself when the machine boots"
    return [
        Finding(problem, f"write AUTO -all in {configurations[0]}, and run update-initramfs -u if it exists")
    ]
