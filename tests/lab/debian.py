"""A bare Debian 12 on a disk image of its own, for guests that boot systemd: build/lab/debian.img.

`python -m tests.lab.debian` (`make lab`) makes it by mmdebstrap from Debian's mirror; again only when this
file or the lab's hands changed. It holds what a fresh machine has that its owner reaches by ssh, and Python;
beyond that only the lab's hands, as a unit. Its name and networks are given to it at each boot, as a cloud
gives them.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.lab import image

ROOT = image.BUILD / "debian.img"
ROOT_MB = 1024  # sparse; a third of it is used
PACKAGES = ("systemd-sysv", "dbus", "iproute2", "openssh-server", "openssh-client", "python3")
PROGRAMS = ("mmdebstrap", "debugfs")
HANDS = Path(__file__).with_name("inside.py")
UNIT = """[Service]
ExecStart=/usr/bin/python3 -I -S -B /usr/local/lib/inside.py
Restart=always
[Install]
WantedBy=multi-user.target
"""
# A login from one node to the other, as root; $1 is the tree. Without udev nobody would announce the console.
PREPARE = """
mkdir -p -m 700 "$1/root/.ssh"
chroot "$1" ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id_ed25519
cp "$1/root/.ssh/id_ed25519.pub" "$1/root/.ssh/authorized_keys"
echo "StrictHostKeyChecking accept-new" >"$1/root/.ssh/config"
systemctl --root="$1" --quiet enable lab
systemctl --root="$1" --quiet mask serial-getty@ttyS0
"""


def require() -> None:
    """Return if guests with a root of their own can be started here; raises image.NotBuilt."""
    image.require()
    if why := why_not():
        raise image.NotBuilt(why)
    if not _is_fresh():
        raise image.NotBuilt("the lab's bare Debian isn't built: run `make lab`")


def why_not() -> str:
    """Why it can't be built here; "" if it can."""
    missing = [each for each in PROGRAMS if not shutil.which(each)]
    return f"a bare Debian needs {', '.join(missing)}: run requirements/bootstrap.sh" if missing else ""


def build() -> None:
    """Make it, unless it is there; one at a time."""
    with image.building():
        if _is_fresh():
            return
        tree = image.BUILD / "debian"
        shutil.rmtree(tree, ignore_errors=True)
        _install(tree)
        _prepare(tree)
        ROOT.unlink(missing_ok=True)
        _run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(ROOT), f"{ROOT_MB}M")
        shutil.rmtree(tree)
        _stamp().write_text(_wanted())


def put(root: Path, files: dict[str, Path]) -> None:
    """Copy files into an image that nobody uses: path in it -> file; their folders are there."""
    commands = "".join(f"write {source} {path}\n" for path, source in files.items())
    argv = ("debugfs", "-w", "-f", "-", str(root))
    done = subprocess.run(argv, input=commands, capture_output=True, text=True, timeout=120, check=True)
    said = done.stderr.splitlines()[1:]  # its version comes first
    assert not said, said


def _install(tree: Path) -> None:
    options = ("--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}", "--quiet")
    left_out = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")
    slim = (f"--dpkgopt=path-exclude={each}" for each in left_out)
    # In a mount namespace of its own: what it mounts in the tree is gone with it, also when it is killed.
    _run("unshare", "--mount", "mmdebstrap", *options, *slim, "bookworm", str(tree))


def _prepare(tree: Path) -> None:
    shutil.copyfile(HANDS, tree / "usr/local/lib/inside.py")
    (tree / "etc/systemd/system/lab.service").write_text(UNIT)
    _run("sh", "-euc", PREPARE, "prepare", str(tree))


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=image.LIMIT_S)


def _is_fresh() -> bool:
    stamp = _stamp()
    return stamp.exists() and stamp.read_text() == _wanted()


def _stamp() -> Path:
    return image.BUILD / "debian.built"


def _wanted() -> str:
    return hashlib.sha256(Path(__file__).read_bytes() + HANDS.read_bytes()).hexdigest()


if __name__ == "__main__":
    image.build_if_possible(image.why_not() or why_not(), build)
