"""The watchdog: it fires in time, whatever the agent does. The device is a model of the kernel's."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.config.watchdogs import WatchdogSetup, timeout_for
from agent.core.ids import Instant
from agent.fencing import watchdog
from agent.fencing.device import (
    INFO,
    SECONDS,
    WDIOC_GETSUPPORT,
    WDIOC_GETTIMEOUT,
    WDIOC_SETTIMEOUT,
    WDIOF_ALARMONLY,
    WDIOF_MAGICCLOSE,
)
from agent.fencing.watchdog import Watchdog, WatchdogFailed, findings

WDIOF_SETTIMEOUT = 0x0080
PATH = Path("/dev/watchdog")
DEAD_AFTER_MS, MARGIN_MS = 2_000, 100


class Machine:
    """A virtual clock, and the watchdog of the machine that it runs on (drivers/watchdog/watchdog_dev.c)."""

    def __init__(
        self,
        *,
        options: int = WDIOF_MAGICCLOSE | WDIOF_SETTIMEOUT,
        shortest_s: int = 1,
        longest_s: int = 65_535,
        rounds_to_s: int = 1,
    ) -> None:
        self.now = 1_000_000
        self.options, self.shortest_s, self.longest_s = options, shortest_s, longest_s
        self.rounds_to_s = rounds_to_s
        self.timeout_s = 60
        self.fires_at: int | None = None  # None: stopped
        self.opened = self.fed = 0
        self.held = threading.Event()  # cleared: the device doesn't answer
        self.held.set()
        self.broken = False
        self._magic = False

    def clock(self) -> Instant:
        return Instant(self.now)

    def open(self, path: Path) -> Machine:
        self.held.wait()
        self.opened += 1
        self._magic = False
        self._ping()
        return self

    def ioctl(self, request: int, argument: bytearray) -> None:
        if request == WDIOC_GETSUPPORT:
            argument[:] = INFO.pack(self.options, 0, b"Model Watchdog")
        elif request == WDIOC_SETTIMEOUT:
            self._set_timeout(SECONDS.unpack(argument)[0])
        else:
            assert request == WDIOC_GETTIMEOUT, hex(request)
            argument[:] = SECONDS.pack(self.timeout_s)

    def write(self, data: bytes) -> None:
        self.held.wait()
        if self.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._magic = b"V" in data
        self._ping()

    def close(self) -> None:
        if self._magic or not self.options & WDIOF_MAGICCLOSE:
            self.fires_at = None

    def _ping(self) -> None:
        self.fed += 1
        self.fires_at = self.now + self.timeout_s * 1_000

    def _set_timeout(self, seconds: int) -> None:
        if not self.options & WDIOF_SETTIMEOUT:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if not self.shortest_s <= seconds <= self.longest_s:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.timeout_s = -(-seconds // self.rounds_to_s) * self.rounds_to_s
        self._ping()


class Node:
    """An agent's watchdog on that machine."""

    def __init__(self, runner: asyncio.Runner, machine: Machine, timeout_s: int = 2) -> None:
        self.runner, self.machine = runner, machine
        self.watchdog = Watchdog(PATH, timeout_s, machine.clock, machine.open)

    def open(self, harmless_by: int | None = None) -> str:
        return self.runner.run(self.watchdog.open(instant(harmless_by)))

    def refused(self, harmless_by: int | None = None) -> str:
        with pytest.raises(WatchdogFailed) as caught:
            self.open(harmless_by)
        return str(caught.value)

    def feed(self, harmless_by: int | None) -> None:
        """Feed it, and wait until the device has it."""
        self.watchdog.feed(instant(harmless_by))
        feeding = self.watchdog._feeding
        assert feeding is not None
        feeding.exception(timeout=20)

    def close(self, *, disarm: bool) -> None:
        self.runner.run(self.watchdog.close(disarm=disarm))


def instant(at: int | None) -> Instant | None:
    return None if at is None else Instant(at)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def node_on(runner: asyncio.Runner) -> Iterator[Callable[..., Node]]:
    made: list[Node] = []

    def make(machine: Machine, timeout_s: int = 2) -> Node:
        made.append(Node(runner, machine, timeout_s))
        return made[-1]

    yield make
    for node in made:
        node.machine.held.set()
        node.watchdog._thread.shutdown()


# Arming.


def test_it_is_armed_with_the_timeout_that_was_asked_for(
    machine: Machine, node_on: Callable[..., Node]
) -> None:
    assert node_on(machine).open() == "Model Watchdog, 2 s"
    assert machine.fires_at == machine.now + 2_000


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        (Machine(shortest_s=5), "fires after 60 s and can't be set to 2 s"),
        (Machine(rounds_to_s=4), "fires after 4 s and can't be set to 2 s"),
        (Machine(options=WDIOF_MAGICCLOSE), "fires after 60 s and can't be set to 2 s"),
        (
            Machine(options=WDIOF_MAGICCLOSE | WDIOF_SETTIMEOUT | WDIOF_ALARMONLY),
            "doesn't reset the machine",
        ),
        (Machine(options=WDIOF_SETTIMEOUT), "disarmed by the agent's death"),
    ],
    ids=["too-long", "rounded-up", "one-timeout-only", "alarm-only", "no-magic-close"],
)
def test_a_device_that_cannot_protect_is_refused_and_disarmed(
    machine: Machine, says: str, node_on: Callable[..., Node]
) -> None:
    assert says in node_on(machine).refused()
    assert machine.fires_at is None


@pytest.mark.parametrize(
    ("error", "says"),
    [(errno.ENOENT, "modprobe softdog"), (errno.EBUSY, "RuntimeWatchdogSec"), (errno.EACCES, "needs root")],
)
def test_why_it_cannot_be_opened_is_told_with_a_remedy(runner: asyncio.Runner, error: int, says: str) -> None:
    def opener(path: Path) -> Machine:
        raise OSError(error, os.strerror(error))

    with pytest.raises(WatchdogFailed, match=says):
        runner.run(Watchdog(PATH, 2, Machine().clock, opener).open(None))


def test_a_file_that_is_no_watchdog_is_left_as_it_was(runner: asyncio.Runner, tmp_path: Path) -> None:
    file = tmp_path / "watchdog"
    file.write_text("precious")
    for path in (file, Path("/dev/null")):
        with pytest.raises(WatchdogFailed, match="isn't a watchdog"):
            runner.run(Watchdog(path, 2, Machine().clock).open(None))
    assert file.read_text() == "precious"


def test_a_device_that_opens_too_late_is_let_go(
    machine: Machine, node_on: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "DEVICE_LIMIT_S", 0.05)
    node = node_on(machine)
    machine.held.clear()
    assert "can't be opened within" in node.refused()
    machine.held.set()
    node.watchdog._thread.shutdown()
    assert (machine.opened, machine.fires_at) == (1, None)


# Feeding.


def test_with_nothing_in_service_it_is_fed_for_ever(machine: Machine, node_on: Callable[..., Node]) -> None:
    node = node_on(machine)
    node.open()
    for _ in range(10):
        machine.now += 1_000
        node.feed(None)
        assert machine.fires_at == machine.now + 2_000


def test_it_is_never_fed_beyond_the_end_of_authority(machine: Machine, node_on: Callable[..., Node]) -> None:
    node = node_on(machine)
    node.open()
    end = machine.now + 2_100
    while machine.now < end:
        node.feed(end)
        machine.now += 250
    assert machine.fires_at is not None
    assert end - 1_000 < machine.fires_at <= end  # as late as whole seconds from a feeding allow


def test_an_agent_that_wakes_late_does_not_feed(machine: Machine, node_on: Callable[..., Node]) -> None:
    node = node_on(machine)
    node.open()
    end = machine.now + 2_100
    node.feed(end)
    fires_at = machine.fires_at
    machine.now += 1_900
    node.feed(end)
    assert machine.fires_at == fires_at


def test_what_was_granted_to_an_idle_node_is_shortened_when_its_authority_ends_earlier(
    machine: Machine, node_on: Callable[..., Node]
) -> None:
    node = node_on(machine)
    node.open()
    node.feed(machine.now + 1_500)
    assert machine.fires_at == machine.now + 1_000
    node.feed(None)
    assert machine.fires_at == machine.now + 2_000


def test_a_renewal_that_is_missing_does_not_shorten_what_was_granted(
    machine: Machine, node_on: Callable[..., Node]
) -> None:
    node = node_on(machine)
    node.open()
    end, fires_at = machine.now + 2_100, machine.fires_at
    machine.now += 250
    node.feed(end)  # only a second would end in time from here
    assert machine.fires_at == fires_at


def test_a_feeding_that_waited_for_the_device_is_dropped_when_it_comes_too_late(
    machine: Machine, node_on: Callable[..., Node]
) -> None:
    node = node_on(machine)
    node.open()
    end = machine.now + 2_100
    blocked = threading.Event()
    node.watchdog._thread.submit(blocked.wait)  # the thread doesn't get a turn
    node.watchdog.feed(Instant(end))
    fires_at, machine.now = machine.fires_at, machine.now + 1_500
    blocked.set()
    node.watchdog._thread.shutdown()
    assert machine.fires_at == fires_at


def test_a_device_that_hangs_does_not_hold_up_the_agent(
    machine: Machine, node_on: Callable[..., Node]
) -> None:
    node = node_on(machine)
    node.open()
    machine.held.clear()
    for _ in range(1_000):  # would never return if one waited
        node.watchdog.feed(None)
    assert node.watchdog.trouble == ""
    machine.held.set()
    node.watchdog._thread.shutdown()
    assert machine.fed <= 6  # opened, three timeouts tried, one write


def test_a_device_that_cannot_be_fed_is_told_and_mends(
    machine: Machine, node_on: Callable[..., Node]
) -> None:
    node = node_on(machine)
    node.open()
    machine.now, machine.broken = machine.now + 500, True
    node.feed(None)
    assert "/dev/watchdog can't be fed" in node.watchdog.trouble
    machine.broken = False
    node.feed(None)
    assert node.watchdog.trouble == ""


@pytest.mark.parametrize("seed", range(100))
def test_a_node_in_service_is_never_alive_unfed_beyond_its_authority(
    seed: int, machine: Machine, node_on: Callable[..., Node]
) -> None:
    """Renewals that come and go, pauses, two hierarchies' worth of changes: the device fires in time."""
    dice = random.Random(seed)
    authority_ms = dice.choice([1_000, 2_000, 10_000])
    timeout_s = timeout_for(authority_ms, MARGIN_MS)
    assert timeout_s is not None
    node = node_on(machine, timeout_s)
    node.open()
    harmless_by: int | None = None
    for _ in range(100):
        took_ms = dice.choice([1, 20, 90, 300])
        machine.now += took_ms
        match dice.randrange(8):
            case 0:
                harmless_by = None  # everything was removed
            case 1 | 2 | 3 | 4:  # a renewal, counted from when it was asked for
                harmless_by = machine.now - took_ms + authority_ms + MARGIN_MS
            case 5:
                machine.now += dice.randrange(authority_ms)
        if machine.fires_at is not None and machine.now >= machine.fires_at:
            return  # the machine has been reset
        node.feed(harmless_by)
        if harmless_by is not None and harmless_by - machine.now >= 1_000:
            assert machine.fires_at is not None
            assert machine.fires_at <= harmless_by, f"seed {seed}"


# An end, and a new life.


@pytest.mark.parametrize("disarm", [True, False])
def test_only_a_close_that_is_told_so_disarms_it(
    machine: Machine, node_on: Callable[..., Node], disarm: bool
) -> None:
    node = node_on(machine)
    node.open()
    node.close(disarm=disarm)
    assert (machine.fires_at is None) == disarm
    node.close(disarm=disarm)  # again is harmless


def test_a_new_life_opens_what_the_old_one_left_counting_once_it_has_authority(
    machine: Machine, node_on: Callable[..., Node]
) -> None:
    first = node_on(machine)
    first.open()
    first.feed(machine.now + 2_100)
    first.close(disarm=False)
    machine.now += 500
    fires_at = machine.fires_at
    second = node_on(machine)
    assert "longer than its authority" in second.refused(machine.now + 1_600)
    assert machine.fires_at == fires_at
    second.open(machine.now + 2_100)
    assert machine.fires_at == machine.now + 2_000


def test_a_device_that_cannot_be_disarmed_is_told(machine: Machine, node_on: Callable[..., Node]) -> None:
    node = node_on(machine)
    node.open()
    machine.broken = True
    with pytest.raises(WatchdogFailed, match="will reset this machine"):
        node.close(disarm=True)


# Fit for the configuration.


@pytest.mark.parametrize(
    ("dead_after_ms", "timeout_s"), [(300, None), (999, None), (1_000, 1), (2_000, 2), (10_000, 10)]
)
def test_the_timeout_is_never_beyond_grant_and_margin(dead_after_ms: int, timeout_s: int | None) -> None:
    assert timeout_for(dead_after_ms, MARGIN_MS) == timeout_s


def test_what_no_watchdog_can_cover_is_found_in_advance(tmp_path: Path) -> None:
    there = WatchdogSetup(device=Path("/dev/null"))
    assert findings(there, DEAD_AFTER_MS, MARGIN_MS) == []
    (too_fast,) = findings(there, 300, MARGIN_MS)
    assert "within 400 ms" in too_fast.problem
    assert "dead_after 1000ms" in too_fast.remedy
    (missing,) = findings(WatchdogSetup(device=tmp_path / "none"), DEAD_AFTER_MS, MARGIN_MS)
    assert missing.remedy == "modprobe softdog"
