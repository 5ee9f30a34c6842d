"""What this machine says of itself: read here, and decided about by pure functions below."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.config.model import Config
from agent.doctor.contract import Untold, Verdict, ok, problem, told, unknown
from agent.fencing.myself import SYSRQ

_TIME_ERROR = 5  # adjtimex(2)'s answer for a clock that nothing keeps right
_MODULES = ("/etc/modules", "/etc/modules-load.d", "/usr/lib/modules-load.d", "/run/modules-load.d")
_SYSTEMD = ("/usr/lib/systemd/system.conf", "/etc/systemd/system.conf", "/etc/systemd/system.conf.d")
_CONTAINERS = ("/.dockerenv", "/run/.containerenv")
_OFF = frozenset({"", "0", "off", "default"})
_SOFTDOG = "Software Watchdog"


@dataclass(frozen=True, kw_only=True)
class File:
    """Who may write to a file or a folder, and run it."""

    owner: int
    mode: int

    @property
    def safe(self) -> bool:
        """Only its owner, root or this user, may write to it (or, in a sticky folder, to what is theirs)."""
        sticky = stat.S_ISDIR(self.mode) and self.mode & stat.S_ISVTX
        return self.owner in {0, os.geteuid()} and (not self.mode & 0o022 or bool(sticky))


@dataclass(frozen=True, kw_only=True)
class Host:
    """This machine as far as the checks need it."""

    synchronised: bool | Untold  # the clock
    configuration: Mapping[str, File] | Untold  # cluster.toml and the folders above it, by path
    last_means: Mapping[str, bool]  # how it ends itself: path -> this process may use it
    watchdogs: Mapping[str, str]  # "watchdog0" -> what the driver calls itself
    boot_modules: frozenset[str]  # loaded at every boot by configuration
    systemd_watchdog: str  # RuntimeWatchdogSec; "": not set
    in_container: bool


def read_host(config: Config) -> Host:
    """Look; changes nothing, and raises nothing. Touches disks: not for the event loop."""
    means = Path(config.self_fence.command[0]) if config.self_fence.command else SYSRQ
    use = os.X_OK if config.self_fence.command else os.W_OK
    return Host(
        synchronised=_clock(),
        configuration=_files(config.source),
        last_means={str(means): os.access(means, use)},
        watchdogs={
            each.parent.name: _text(each).strip() for each in Path("/sys/class/watchdog").glob("*/identity")
        },
        boot_modules=_boot_modules(map(Path, _MODULES)),
        systemd_watchdog=_setting("RuntimeWatchdogSec", map(Path, _SYSTEMD)),
        in_container=any(Path(each).exists() for each in _CONTAINERS),
    )


def clock(host: Host) -> Iterator[Verdict]:
    """AWS refuses what is signed five minutes off; logs of two nodes are read side by side."""
    if told(host.synchronised):
        yield ok("the kernel's clock is synchronised")
    else:
        yield problem(
            "nothing keeps this machine's clock right",
            "systemctl enable --now chronyd (chrony on Debian), with the server 169.254.169.123 on EC2",
        )


def configuration_file(host: Host) -> Iterator[Verdict]:
    """Whoever can write to cluster.toml, or replace it, has scripts run as root."""
    unsafe = False
    for path, file in told(host.configuration).items():
        if not file.safe:
            unsafe = True
            yield problem(
                f"{path} can be changed by others than root", f"chown root {path} && chmod go-w {path}"
            )
    if not unsafe:
        yield ok("only root can change the configuration")


def last_means(host: Host) -> Iterator[Verdict]:
    """A node that lost its right to act must be able to end itself."""
    for path, usable in host.last_means.items():
        if usable:
            yield ok(f"{path} can be used")
        else:
            yield problem(
                f"{path} can't be used: this node couldn't make itself harmless",
                "run this as root; if it is root, see why the file is missing, or set self_fence.command",
            )


def watchdog(config: Config, host: Host) -> Iterator[Verdict]:
    """The watchdog is there after the next boot as well, and nobody else's."""
    if config.watchdog is None:
        return
    name = config.watchdog.device.name if config.watchdog.device.name != "watchdog" else "watchdog0"
    identity = host.watchdogs.get(name)
    if identity is None:
        yield unknown(f"/sys/class/watchdog doesn't tell of {name}", "see what `check` says of the watchdog")
    elif identity == _SOFTDOG and "softdog" not in host.boot_modules:
        yield problem(
            f"{name} is softdog's, which isn't loaded at the next boot",
            "echo softdog > /etc/modules-load.d/kagemusha.conf",
        )
    else:
        yield ok(f"{name} is there at every boot ({identity})")
    if name == "watchdog0" and host.systemd_watchdog.lower() not in _OFF:
        yield problem(
            f"systemd takes {name}: RuntimeWatchdogSec={host.systemd_watchdog}",
            "set RuntimeWatchdogSec=off in /etc/systemd/system.conf and restart, or name another device",
        )


def _clock() -> bool | Untold:
    libc = ctypes.CDLL(None, use_errno=True)
    timex = ctypes.create_string_buffer(512)  # larger than struct timex; modes = 0: it only tells
    state = libc.adjtimex(timex)
    return Untold(f"adjtimex: {os.strerror(ctypes.get_errno())}") if state < 0 else state != _TIME_ERROR


def _files(source: Path) -> dict[str, File] | Untold:
    try:
        path = source.resolve(strict=True)
        return {str(each): _file(each) for each in (path, *path.parents)}
    except OSError as error:
        return Untold(f"{source}: {error.strerror}")


def _file(path: Path) -> File:
    status = path.stat()
    return File(owner=status.st_uid, mode=status.st_mode)


def _boot_modules(places: Iterator[Path]) -> frozenset[str]:
    lines = [line.strip() for place in places for file in _confs(place) for line in _text(file).splitlines()]
    return frozenset(line.split()[0] for line in lines if line and line[0] not in "#;")


def _setting(key: str, places: Iterator[Path]) -> str:
    """The last value that is given: later files override earlier ones."""
    value = ""
    for line in (line for place in places for file in _confs(place) for line in _text(file).splitlines()):
        name, equals, given = line.partition("=")
        if equals and name.strip() == key:
            value = given.strip()
    return value


def _confs(place: Path) -> list[Path]:
    return sorted(place.glob("*.conf")) if place.is_dir() else [place]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""  # not there, or not ours to read: it says nothing
