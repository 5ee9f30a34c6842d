"""What a mirror costs beside md and nbd set up by hand, and beside the bare disk, in two emulated machines.

Each machine's disk is cut into three equal parts: one for the mirror kit, one for the array by hand, one for
nothing. They are measured in turns, so that whatever else the machine does meets all of them. Only the ratios
say anything: the machines are emulated, and their disks are served by this program.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from statistics import median

from tests.bench.figures import Figure
from tests.lab.guest import Guest
from tests.lab.image import NotBuilt
from tests.lab.lab import ADDRESSES, NODES, VmLab
from tests.lab.mirror_lab import MirrorLab
from tests.machines.machine import CommandFailed, wait_until

SOURCE, TARGET = NODES
PART_MB, HEADROOM_MB = 96, 32
PORT = 10_900  # of the server by hand; the kit's is another
BY_HAND_NBD = "/dev/nbd9"
WRITTEN_MB, SYNCED = 32, 200  # in one go; 4 KiB each
LEAST = 0.97  # of md and nbd by hand
LIMIT_S = 180.0
KIT, HAND, BARE = (f"/dev/dm-{number}" for number in range(3))  # nothing else in a guest makes any
DEVICES = {"mirror": "/dev/md/dir1", "by hand": "/dev/md/hand", "disk": BARE}
_DD_SECONDS = re.compile(r"([0-9.e-]+) s, ")


def figures(rounds: int, copies: int) -> Iterator[Figure]:
    """Throughput and flushed writes of all three, `rounds` times; `copies` resyncs beside dd over nbd."""
    try:
        lab = VmLab(NODES, disk_mb=3 * PART_MB + HEADROOM_MB)
    except NotBuilt as why:
        print(f"mirror: not measured: {why}")
        return
    with lab:
        lab.start()
        kit = _set_up(lab)
        guest = lab.guests[SOURCE]
        yield from _compared("write, 1 MiB at a time", "MB/s", _in_turns(guest, _throughput, rounds))
        yield from _compared("write and flush, 4 KiB", "1/s", _in_turns(guest, _flushed, rounds))
        guest.run("mdadm", "--stop", DEVICES["by hand"])
        pairs = [(_resync(kit), _over_nbd(guest)) for _ in range(copies)]
        resyncs, raw = zip(*pairs, strict=True)
        yield Figure("mirror: full resync", "MB/s", resyncs)
        yield Figure("mirror: dd over nbd to the same kind of server", "MB/s", raw)
        yield _ratio("mirror: full resync, of dd over nbd", resyncs, raw)


def _set_up(lab: VmLab) -> MirrorLab:
    """The mirror whole, and the array by hand of the same kind: its server flushes each write as well."""
    for guest in lab.guests.values():
        guest.run("modprobe", "--all", "dm-mod", "nbd", "raid1")
        for number in range(3):
            table = f"0 {PART_MB << 11} linear /dev/vda {number * PART_MB << 11}"
            guest.shell(f"export DM_DISABLE_UDEV=1; echo {table} | dmsetup create part{number}")
    kit = MirrorLab(lab, disk=KIT)
    for node in NODES:
        kit.start_hands(node)
    kit.control(SOURCE, "create")
    assert kit.job(SOURCE)["state"] == "done"
    kit.ask(TARGET, "stand_by")
    kit.promote(SOURCE, in_sync=(SOURCE,))
    _set_up_by_hand(lab)
    kit.wait_leg(SOURCE, "in-sync")
    return kit


def _set_up_by_hand(lab: VmLab) -> None:
    source, address = lab.guests[SOURCE], ADDRESSES[TARGET][0]
    flushing = ("--filter=fua", "file", f"file={HAND}", "fuamode=force")
    server = ("nbdkit", "-f", "--threads=1", f"--ipaddr={address}", f"--port={PORT}", *flushing)
    lab.guests[TARGET].spawn(*server, log="by-hand.nbdkit.log")
    wait_until(lambda: _connects(source, address), LIMIT_S, "the server by hand answers")
    legs = (HAND, "--write-mostly", BY_HAND_NBD)
    kind = ("--level=1", "--raid-devices=2", "--metadata=1.2", "--bitmap=internal", "--bitmap-chunk=64K")
    create = ("mdadm", "--create", DEVICES["by hand"], "--run", "--assume-clean")  # both are all zeros
    source.run(*create, *kind, *legs, env={"MDADM_NO_UDEV": "1"})


def _connects(source: Guest, address: str) -> bool:
    try:
        source.run("nbd-client", address, str(PORT), BY_HAND_NBD)
    except CommandFailed:
        return False
    return True


Values = dict[str, tuple[float, ...]]


def _in_turns(guest: Guest, measure: Callable[[Guest, str], float], rounds: int) -> Values:
    """Every device in every round, each time another one first."""
    names = list(DEVICES)
    seen: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seen[name].append(measure(guest, DEVICES[name]))
    return {name: tuple(values) for name, values in seen.items()}


def _compared(what: str, unit: str, seen: Values) -> Iterator[Figure]:
    yield Figure(f"mirror: {what}", unit, seen["mirror"])
    yield Figure(f"md and nbd by hand: {what}", unit, seen["by hand"])
    yield Figure(f"bare disk: {what}", unit, seen["disk"])
    yield _ratio(f"mirror, of md and nbd by hand: {what}", seen["mirror"], seen["by hand"], LEAST)
    yield _ratio(f"mirror, of the bare disk: {what}", seen["mirror"], seen["disk"])


def _ratio(what: str, values: tuple[float, ...], of: tuple[float, ...], least: float | None = None) -> Figure:
    """The median of the rounds' ratios: what was measured one right after the other is compared."""
    ratios = sorted(one / other for one, other in zip(values, of, strict=True))
    where = f"rounds from {ratios[0]:.2f} to {ratios[-1]:.2f}"
    return Figure(what, "of it", (median(ratios),), least, where, at_least=True)


def _throughput(guest: Guest, device: str) -> float:
    """Megabytes a second, durable at the end."""
    return _rate(guest, device, WRITTEN_MB, "bs=1M", f"count={WRITTEN_MB}", "oflag=direct", "conv=fsync")


def _flushed(guest: Guest, device: str) -> float:
    """Writes a second, each durable before the next."""
    return SYNCED / _seconds(guest, device, "bs=4k", f"count={SYNCED}", "oflag=direct,dsync")


def _resync(kit: MirrorLab) -> float:
    agreements = len(kit.asked(SOURCE)) + 2  # without the target, and with it again
    kit.control(SOURCE, "full-resync", node=TARGET)
    # Seldom: whoever asks takes the machine's time from what is measured.
    wait_until(lambda: len(kit.asked(SOURCE)) == agreements, LIMIT_S, "everything is copied", every_s=1)
    resync = kit.wait_leg(SOURCE, "in-sync")["last_resync"]
    assert resync["kind"] == "full"
    return float(resync["bytes"] / resync["seconds"] / 1e6)


def _over_nbd(guest: Guest) -> float:
    return _rate(guest, BY_HAND_NBD, PART_MB, "bs=1M", f"count={PART_MB}", "oflag=direct", "conv=fsync")


def _rate(guest: Guest, device: str, mebibytes: int, *how: str) -> float:
    return mebibytes * 1.048576 / _seconds(guest, device, *how)


def _seconds(guest: Guest, device: str, *how: str) -> float:
    """What dd says it took."""
    text = guest.shell(f"LC_ALL=C dd if=/dev/zero of={device} {' '.join(how)} 2>&1", within_s=LIMIT_S)
    found = _DD_SECONDS.search(text)
    assert found is not None, text
    return float(found[1])
