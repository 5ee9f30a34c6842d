"""The command line of a guest's QEMU, and its monitor.

Emulated (TCG), never KVM: the lab runs inside virtual machines too, where nested KVM hangs.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import image
from tests.machines.machine import PROJECT

MEMORY_MB = 512
MONITOR_LIMIT_S = 10.0


@dataclass(frozen=True)
class Card:
    """A network card of a guest: eth0, eth1, … in their order."""

    device: str
    tap: str
    mac: str


@dataclass(frozen=True)
class Sockets:
    """Where a guest's QEMU finds its other ends, in the lab's directory."""

    root: Path  # virtiofsd
    control: Path
    monitor: Path
    disks: Mapping[str, Path]  # serial number -> NBD server; the first is /dev/vda


def virtiofsd_argv(path: Path) -> tuple[str, ...]:
    """The server of the host's tree; it ends with QEMU."""
    options = ("source=/", "cache=always", "sandbox=chroot", "log_level=err", "max_idle_threads=2")
    return (
        image.VIRTIOFSD,
        "-f",
        f"--socket-path={path}",
        *(word for each in options for word in ("-o", each)),
    )


def qemu_argv(
    name: str, sockets: Sockets, cards: tuple[Card, ...], console: Path, *, own_root: bool
) -> tuple[str, ...]:
    """A guest that ends, rather than starts anew, when its kernel reboots; its root as `init.sh` says."""
    return (
        *("qemu-system-x86_64", "-name", name, "-nodefaults", "-no-user-config", "-display", "none"),
        *("-M", "q35,accel=tcg,memory-backend=memory", "-cpu", "max", "-m", str(MEMORY_MB), "-no-reboot"),
        *("-object", f"memory-backend-memfd,id=memory,size={MEMORY_MB}M,share=on"),
        *("-kernel", str(image.KERNEL), "-initrd", str(image.INITRAMFS)),
        *("-append", _kernel_options(name, own_root), "-serial", f"file:{console}"),
        *("-chardev", f"socket,id=root,path={sockets.root}"),
        *("-device", "vhost-user-fs-pci,chardev=root,tag=host,queue-size=256"),
        *("-chardev", f"socket,id=control,path={sockets.control}"),
        *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=control,name=lab"),
        *("-chardev", f"socket,id=monitor,path={sockets.monitor}", "-mon", "chardev=monitor,mode=control"),
        *(word for each in cards for word in _card(each)),
        *(word for serial, path in sockets.disks.items() for word in _disk(serial, path)),
        *_tools(),
    )


def _kernel_options(name: str, own_root: bool) -> str:
    root = "own" if own_root else "host"
    quick = "quiet mitigations=off nokaslr random.trust_cpu=on tsc=reliable"
    starved = "no_timer_check"  # a host with too much to do isn't a broken timer, which the kernel panics at
    lab = f"lab.name={name} lab.project={PROJECT} lab.root={root}"
    return f"console=ttyS0 panic=1 {quick} {starved} {lab}"


def _card(card: Card) -> tuple[str, ...]:
    tap = f"tap,id={card.device},ifname={card.tap},script=no,downscript=no"
    device = f"virtio-net-pci,id=card-{card.device},netdev={card.device},mac={card.mac},romfile="
    return ("-netdev", tap, "-device", device)


def _disk(serial: str, path: Path) -> tuple[str, ...]:
    server = {"type": "unix", "path": str(path)}
    disk = {"driver": "nbd", "node-name": serial, "server": server}
    device = (
        f"virtio-blk-pci,drive={serial},serial={serial},werror=report"  # else a full disk stops the guest
    )
    return ("-blockdev", json.dumps(disk), "-device", device)


def _tools() -> tuple[str, ...]:
    file = {"driver": "file", "filename": str(image.TOOLS)}
    disk = {"driver": "raw", "node-name": "tools", "read-only": True, "file": file}
    return ("-blockdev", json.dumps(disk), "-device", "virtio-blk-pci,drive=tools,serial=tools")


class Monitor:
    """QMP: what only the hypervisor can do to a guest. Raises RuntimeError for what it refuses."""

    def __init__(self, listener: socket.socket) -> None:
        self._socket, _ = listener.accept()
        self._socket.settimeout(MONITOR_LIMIT_S)
        self._lines = self._socket.makefile("rb")
        self._lines.readline()  # its greeting
        self._execute("qmp_capabilities")

    def set_link(self, device: str, *, up: bool) -> None:
        """Plug the cable of a card in, or out."""
        self._execute("set_link", name=f"card-{device}", up=up)

    def close(self) -> None:
        """QEMU has ended."""
        self._lines.close()
        self._socket.close()

    def _execute(self, command: str, **arguments: Any) -> None:
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while line := self._lines.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']}")
            if "return" in answer:
                return  # what came before are events
        raise RuntimeError(f"{command}: QEMU ended")
