"""The `systemd` kit against a scripted systemctl that keeps a unit's state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from agent.core.states import Health
from recovery_kits.contract import CommandFailed, KitError
from recovery_kits.systemd import SystemdKit
from recovery_kits.systemd.kit import SystemdParameters
from tests.kits.fakes import Faulty, Table, failed, tools

UNIT = "web.service"
NO_BUS = failed("systemctl", output="Failed to connect to bus: No such file or directory")


class Systemd:
    """One unit, and the verbs given to it."""

    def __init__(
        self,
        active: str,
        *,
        sub: str = "",
        load: str = "loaded",
        file: str = "disabled",
        result: str = "success",
    ) -> None:
        self.active, self.sub, self.load, self.file, self.result = active, sub, load, file, result
        self.verbs: list[str] = []
        self.dies_at_once = self.survives_stop = False

    async def __call__(
        self, *argv: str, env: Mapping[str, str] | None = None, log: Callable[[str], None] | None = None
    ) -> str:
        """A few of systemctl's verbs."""
        assert argv[0] == "systemctl"
        assert argv[-2:] == ("--", UNIT)
        verb = argv[1] if argv[1] != "--no-ask-password" else argv[2]
        if verb == "show":
            return (
                f"LoadState={self.load}\nActiveState={self.active}\nSubState={self.sub}\n"
                f"Result={self.result}\nUnitFileState={self.file}\n"
            )
        self.verbs.append(verb)
        if self.load != "loaded":
            raise CommandFailed(argv, 5, f"Unit {UNIT} not loaded.")
        if verb == "reset-failed":
            self.active = "inactive"
        elif verb in {"start", "restart"}:
            if self.active == "failed":
                raise CommandFailed(argv, 1, "start request repeated too quickly")
            self.active = "failed" if self.dies_at_once else "active"
        elif verb == "kill":
            self.survives_stop = False
        elif verb == "stop":
            self.active = "deactivating" if self.survives_stop else "inactive"
        return ""


def kit(run: Systemd | Faulty | Table) -> SystemdKit:
    """The kit for UNIT."""
    return SystemdKit(SystemdParameters(unit=UNIT), tools(run))


def test_every_action_twice_in_a_row() -> None:
    systemd = Systemd("inactive")
    web = kit(systemd)
    for _ in range(2):
        asyncio.run(web.restore())
        assert systemd.active == "active"
        assert asyncio.run(web.quick_check()).health is Health.OK
    assert systemd.verbs == ["start"]
    for _ in range(2):
        asyncio.run(web.recover())
        assert systemd.active == "active"
    for _ in range(2):
        asyncio.run(web.remove())
        assert systemd.active == "inactive"
        assert asyncio.run(web.quick_check()).health is Health.FAILED
    systemd.active = "active"
    for _ in range(2):
        asyncio.run(web.force_remove())
        assert systemd.active == "inactive"


@pytest.mark.parametrize(
    ("active", "sub", "health"),
    [
        ("active", "running", Health.OK),
        ("active", "exited", Health.OK),
        ("reloading", "reload", Health.OK),
        ("activating", "start", Health.UNKNOWN),
        ("activating", "auto-restart", Health.FAILED),
        ("deactivating", "stop-sigterm", Health.FAILED),
        ("inactive", "dead", Health.FAILED),
        ("failed", "failed", Health.FAILED),
    ],
)
def test_what_each_state_means(active: str, sub: str, health: Health) -> None:
    check = asyncio.run(kit(Systemd(active, sub=sub)).quick_check())
    assert check.health is health
    assert UNIT in check.why or health is Health.OK


def test_an_earlier_failure_does_not_refuse_a_takeover() -> None:
    systemd = Systemd("failed", result="exit-code")
    asyncio.run(kit(systemd).restore())
    assert systemd.active == "active"


def test_a_unit_that_dies_at_once_is_not_restored() -> None:
    systemd = Systemd("inactive", result="exit-code")
    systemd.dies_at_once = True
    with pytest.raises(KitError, match=r"res: restore: systemctl start went well, yet web.service is failed"):
        asyncio.run(kit(systemd).restore())


def test_remove_does_not_believe_a_stop_that_left_something() -> None:
    systemd = Systemd("active")
    systemd.survives_stop = True
    with pytest.raises(KitError, match=r"was stopped and is deactivating"):
        asyncio.run(kit(systemd).remove())
    asyncio.run(kit(systemd).force_remove())
    assert systemd.active == "inactive"


def test_a_unit_that_does_not_exist_is_removed_but_cannot_be_restored() -> None:
    nothing = kit(Systemd("inactive", load="not-found"))
    asyncio.run(nothing.remove())
    asyncio.run(nothing.force_remove())
    assert asyncio.run(nothing.quick_check()).why == f"there is no unit {UNIT}"
    with pytest.raises(KitError, match="not loaded"):
        asyncio.run(nothing.restore())


@pytest.mark.parametrize("problem", [NO_BUS, FileNotFoundError(2, "No such file", "systemctl")])
def test_without_systemd_nothing_is_known(table: Table, problem: Exception) -> None:
    table.answer("systemctl", by=problem)
    web = kit(table)
    assert asyncio.run(web.quick_check()).health is Health.UNKNOWN
    for action in (web.restore, web.remove, web.force_remove, web.recover):
        with pytest.raises(KitError, match="can't be asked"):
            asyncio.run(action())


@pytest.mark.parametrize("answer", ["", "LoadState=\nActiveState=\n", "nonsense"])
def test_an_answer_without_states_is_unknown(table: Table, answer: str) -> None:
    table.answer("systemctl", "show", by=answer)
    assert asyncio.run(kit(table).quick_check()).health is Health.UNKNOWN


@pytest.mark.parametrize("fault", [NO_BUS, asyncio.CancelledError()])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("action", "begin", "end"),
    [("restore", "failed", "active"), ("recover", "failed", "active"), ("remove", "active", "inactive")],
)
def test_any_call_may_fail_and_the_next_try_finishes(
    action: str, begin: str, end: str, after: bool, fault: BaseException
) -> None:
    for at in range(10):
        systemd = Systemd(begin)
        faulty = Faulty(systemd, at, fault, after=after)
        try:
            asyncio.run(getattr(kit(faulty), action)())
        except (KitError, asyncio.CancelledError):
            asyncio.run(getattr(kit(systemd), action)())
        else:
            assert at >= faulty.count > 0  # the fault came too late
            break
        finally:
            assert systemd.active == end
    else:
        pytest.fail("never got through")


@pytest.mark.parametrize(
    ("systemd", "remedy"),
    [
        (Systemd("inactive", load="not-found"), "install its package"),
        (Systemd("inactive", load="masked"), f"systemctl unmask {UNIT}"),
        (Systemd("inactive", load="bad-setting"), f"systemctl status {UNIT}"),
        (Systemd("active", file="enabled"), f"systemctl disable {UNIT}"),
    ],
)
def test_validate_says_what_to_do(systemd: Systemd, remedy: str) -> None:
    (finding,) = asyncio.run(kit(systemd).validate())
    assert remedy in finding.remedy
    assert systemd.verbs == []


def test_a_fit_unit_has_no_findings() -> None:
    assert asyncio.run(kit(Systemd("inactive", file="static")).validate()) == []
