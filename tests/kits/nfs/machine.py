"""A machine with an NFS server that obeys the kit's commands: exports, threads, daemons, mounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from recovery_kits.contract import CommandFailed
from recovery_kits.filesystem.mounts import Mount
from recovery_kits.processes import Fits, Process

PIPES = "/var/lib/nfs/rpc_pipefs"


def mount(point: str, type_: str) -> Mount:
    """A mount of that type."""
    return Mount("8:1", "/", point, read_only=False, type=type_, source=type_)


class NfsMachine:
    """What the kernel and the daemons of one machine would do."""

    def __init__(self) -> None:
        self.mounts = [mount("/", "ext4"), mount("/mnt/DIR1", "xfs")]
        self.exports: dict[str, str] = {}  # path and client -> options
        self.threads = 0
        self.processes: list[Process] = []
        self.scope = ""
        self.tracked = False
        self.finds_tracker = True  # False: the kernel never waits long enough for nfsdcld
        self.enabled = False  # the machine's own server, at boot
        self.refused: dict[str, str] = {}  # programs that fail -> what they say
        self.commands: list[tuple[str, ...]] = []
        self._pid = 100

    async def __call__(
        self, *argv: str, env: Mapping[str, str] | None = None, log: Callable[[str], None] | None = None
    ) -> str:
        """Do what a command does."""
        self.commands.append(argv)
        if (why := self.refused.get(argv[0])) is not None:
            raise CommandFailed(argv, 1, why)
        return self._exportfs(*argv[1:]) if argv[0] == "exportfs" else self._do(argv)

    def _exportfs(self, *words: str) -> str:
        match words:
            case ("-s",):
                return "".join(f"{where}({options})\n" for where, options in self.exports.items())
            case ("-au",):
                self.exports.clear()
            case ("-i", "-o", options, what):
                client, _, path = what.rpartition(":")
                self.exports[f"{path}  {client.replace('[', '').replace(']', '')}"] = options
            case _:
                assert words == ("-f",)
        return ""

    def _do(self, argv: tuple[str, ...]) -> str:
        match argv:
            case ("modprobe" | "mkdir", *_):
                pass
            case ("mount", "-t", type_, _, point):
                assert type_ not in {each.type for each in self.mounts}
                self.mounts.append(mount(point, type_))
            case ("nfsdcld", "-p", _, "-s", _) | (
                "rpc.mountd",
                "--no-nfs-version",
                "2",
                "--no-nfs-version",
                "3",
            ):
                self._pid += 1
                self.processes.append(Process(self._pid, argv))
            case ("cat", "/proc/fs/nfsd/threads"):
                return f"{self.threads}\n"
            case ("unshare", "--uts", "--", "sh", "-c", _, scope, "rpc.nfsd", *_, number):
                self.threads, self.scope = int(number), scope
                self.tracked = self.finds_tracker and self.runs("nfsdcld")
            case ("rpc.nfsd", "0"):
                self.threads, self.tracked = 0, False
            case ("systemctl", "is-enabled", *_):
                if not self.enabled:
                    raise CommandFailed(argv, 1, "disabled")
                return "enabled\n"
            case _:
                raise AssertionError(f"unexpected command: {argv}")
        return ""

    def runs(self, name: str) -> bool:
        """Whether a program of that name runs."""
        return any(each.argv[0] == name for each in self.processes)

    def running(self, name: str, fits: Fits) -> list[Process]:
        """In place of `processes.running`."""
        return [each for each in self.processes if each.argv[0] == name and fits(each)]

    def end(self, name: str, fits: Fits, limit_s: float) -> None:
        """In place of `processes.end`."""
        assert limit_s > 0
        ended = self.running(name, fits)
        assert not (ended and name == "nfsdcld" and self.threads), "the server would lose what it must know"
        self.processes = [each for each in self.processes if each not in ended]
