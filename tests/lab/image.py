"""What guests boot: a kernel, an initramfs, and an image of the packages that only guests need.

`python -m tests.lab.image` (`make lab`) makes them under build/lab; again only when this file changed.
The packages are downloaded and unpacked, never installed: no service of theirs can start on the host.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.initramfs import initramfs
from tests.machines.machine import PROJECT

BUILD = PROJECT / "build/lab"
KERNEL, INITRAMFS, TOOLS = BUILD / "vmlinuz", BUILD / "initramfs", BUILD / "tools.img"
PACKAGES = (
    "linux-image-cloud-amd64",  # the family that EC2 instances run
    "busybox-static",
    "kmod",
    "mdadm",
    "nbdkit",
    "nbd-client",
    "xfsprogs",
    "nfs-kernel-server",
    "nfs-common",
)
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
PROGRAMS = ("qemu-system-x86_64", VIRTIOFSD, "mke2fs", "depmod")
MERGED = ("bin", "lib", "lib64", "sbin")  # links into /usr, on the host and so in the image as well
LIMIT_S = 600.0


class NotBuilt(Exception):
    """Why this machine can't run the lab; what to do about it is in the text."""


def require() -> None:
    """Return if guests can be started here; raises NotBuilt."""
    if why := why_not():
        raise NotBuilt(why)
    if not _is_fresh():
        raise NotBuilt("the VM lab isn't built: run `make lab`")


def why_not() -> str:
    """Why this machine can't run guests at all; "" if it can."""
    if os.geteuid() != 0:
        return "the VM lab needs root"
    if not Path("/dev/net/tun").exists():
        return "the VM lab needs /dev/net/tun: modprobe tun"
    if platform.machine() != "x86_64" or "ID=debian\n" not in Path("/etc/os-release").read_text():
        return "the VM lab needs Debian on x86-64, whose packages its guests are made of"
    missing = [each for each in PROGRAMS if not shutil.which(each)]
    return f"the VM lab needs {', '.join(missing)}: run requirements/bootstrap.sh" if missing else ""


@contextmanager
def building() -> Iterator[None]:
    """Alone with BUILD."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build() -> None:
    """Make everything, unless it is there; one at a time."""
    with building():
        if _is_fresh():
            return
        packages, tree = BUILD / "packages", BUILD / "tree"
        for folder in (packages, tree):
            shutil.rmtree(folder, ignore_errors=True)
        _download(packages)
        _unpack(packages, tree)
        modules = next((tree / "usr/lib/modules").iterdir())
        _run("depmod", "-b", str(tree / "usr"), modules.name)
        shutil.copyfile(tree / f"boot/vmlinuz-{modules.name}", KERNEL)
        INITRAMFS.write_bytes(initramfs(modules, tree / "usr/bin/busybox"))
        _make_image(tree)
        for folder in (packages, tree):
            shutil.rmtree(folder)
        _stamp().write_text(_wanted())


def _download(to: Path) -> None:
    """The packages with all that they need and the host doesn't have."""
    (to / "partial").mkdir(parents=True)
    options = ("-o", f"Dir::Cache::archives={to}", "-o", "Debug::NoLocking=1")
    argv = ("apt-get", "-y", "-qq", *options, "--no-install-recommends", "--download-only", "--reinstall")
    try:
        _run(*argv, "install", *PACKAGES)
    except subprocess.CalledProcessError:  # the list of packages may be missing or old
        _run("apt-get", "-qq", "update")
        _run(*argv, "install", *PACKAGES)


def _unpack(packages: Path, tree: Path) -> None:
    (tree / "usr").mkdir(parents=True)
    for name in MERGED:
        (tree / "usr" / name).mkdir()
        (tree / name).symlink_to(f"usr/{name}")
    for package in sorted(packages.glob("*.deb")):
        tar = subprocess.run(
            ["dpkg-deb", "--fsys-tarfile", str(package)], check=True, capture_output=True, timeout=LIMIT_S
        )
        _run("tar", "-x", "--keep-directory-symlink", "-C", str(tree), stdin=tar.stdout)


def _make_image(tree: Path) -> None:
    used_kb = int(_run("du", "-sk", str(tree)).split()[0])
    TOOLS.unlink(missing_ok=True)
    argv = ("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", str(tree), str(TOOLS))
    _run(*argv, f"{used_kb * 5 // 4 + 8192}k")


def _run(*argv: str, stdin: bytes = b"") -> str:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(argv, input=stdin, check=True, stdout=subprocess.PIPE, env=env, timeout=LIMIT_S)
    return done.stdout.decode()


def _is_fresh() -> bool:
    stamp = _stamp()
    return stamp.exists() and stamp.read_text() == _wanted()


def _stamp() -> Path:
    return BUILD / "built"


def _wanted() -> str:
    sources = [Path(__file__), *(Path(__file__).with_name(name) for name in ("initramfs.py", "init.sh"))]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def build_if_possible(why_not: str, build: Callable[[], None]) -> None:
    """A machine that can't is told so, and isn't an error."""
    if why_not:
        print(f"lab: {why_not}; its tests will be skipped", file=sys.stderr)
    else:
        build()


if __name__ == "__main__":
    build_if_possible(why_not(), build)
