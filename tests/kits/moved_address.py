"""What every kit that moves one address by one call promises while AWS doesn't work.

An answer is FAILED or OK; what nobody answered is UNKNOWN, an alarm that moves no service. A kit's own tests
derive a class from `Faults`, and say in its folder's conftest.py what the scene is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import pytest

from agent.core.hierarchy import REASSERT_AFTER_MS
from agent.core.states import Health
from recovery_kits.contract import ALWAYS, Authority, Kit, KitError, Unanswered
from tests.aws_server import AwsServer, Rule, throttle
from tests.aws_server.faults import Fault
from tests.kits.acting import Agent, Brief
from tests.kits.troubles import broken, name_of, unauthorized
from tests.runtime.waiting import wait_until

Run = Callable[[Any], Any]
MOVE, LOOK = "move", "look"  # the scene knows their operations


class Scene(Protocol):
    """An address that db-01 has, and a node that is to take it."""

    @property
    def server(self) -> AwsServer: ...
    @property
    def tag(self) -> str: ...
    @property
    def taker(self) -> str:
        """The node that is to take it."""

    @property
    def operations(self) -> dict[str, str]:
        """MOVE and LOOK, as fault rules call them."""

    def holder(self) -> str:
        """The node that has the address."""

    def kit(self, agent: Agent, node: str, authority: Authority = ALWAYS) -> Kit[Any]: ...

    def late_kit(self, agent: Agent) -> Kit[Any]:
        """A kit of db-01 whose restore changes something."""


@pytest.fixture
def old(scene: Scene, agent: Agent) -> Kit[Any]:
    """The kit of the node that has the address at first."""
    return scene.kit(agent, "db-01")


@pytest.fixture
def new(scene: Scene, agent: Agent) -> Kit[Any]:
    """The kit of the node that is to take over."""
    return scene.kit(agent, scene.taker)


@pytest.fixture
def run(agent: Agent) -> Run:
    """Runs an action to its end."""
    return agent.runner.run


def spoil(scene: Scene, *rules: Rule) -> None:
    """From here on calls go wrong by these rules alone."""
    meant = [replace(rule, operation=scene.operations.get(rule.operation, rule.operation)) for rule in rules]
    scene.server.control.set_faults(*meant)


class Faults:
    """For each fault and action, one outcome."""

    @pytest.fixture
    def read_timeout_ms(self) -> int:
        """Short, so that a call that hangs once is done with soon."""
        return 400

    @pytest.mark.parametrize(
        "rule",
        [
            throttle(MOVE, left=2),
            throttle(LOOK, left=2),
            broken(MOVE, left=1),
            Rule(operation=MOVE, fault="drop-before", left=2),
            Rule(operation=MOVE, fault="drop-after"),  # each is applied, no reply ever comes
            Rule(operation=MOVE, fault="hang", left=1),
            Rule(operation=LOOK, fault="drop-before", left=1),
        ],
        ids=name_of,
    )
    def test_restore_succeeds_in_spite_of(self, new: Kit[Any], scene: Scene, run: Run, rule: Rule) -> None:
        spoil(scene, rule)
        run(new.restore())
        spoil(scene)
        assert scene.holder() == scene.taker

    @pytest.mark.parametrize(
        "rule",
        [
            throttle(MOVE),
            throttle(LOOK),
            broken(MOVE),
            broken(LOOK),
            Rule(operation=MOVE, fault="drop-before"),
            Rule(operation=MOVE, fault="hang"),
            Rule(operation=LOOK, fault="hang"),
            unauthorized(LOOK),  # the change was accepted; only reading back is refused
            Rule(fault="hang"),
        ],
        ids=name_of,
    )
    def test_nobody_can_tell_whether_restore_worked_after(
        self, new: Kit[Any], scene: Scene, run: Run, hasty: Agent, rule: Rule
    ) -> None:
        spoil(scene, rule)
        with pytest.raises(Unanswered, match=f"{scene.tag}: restore: "):
            hasty.run(scene.kit(hasty, scene.taker).restore())
        spoil(scene)
        run(new.restore())

    def test_a_refused_restore_fails_and_names_what_is_missing(
        self, new: Kit[Any], scene: Scene, run: Run
    ) -> None:
        spoil(scene, unauthorized(MOVE))
        for _ in range(2):
            with pytest.raises(KitError, match=f"give the node's role {scene.operations[MOVE]}") as caught:
                run(new.restore())
            assert not isinstance(caught.value, Unanswered)

    def test_a_refused_restore_fails_even_where_reading_back_is_not_answered(
        self, new: Kit[Any], scene: Scene, run: Run
    ) -> None:
        spoil(scene, unauthorized(MOVE), throttle(LOOK))
        with pytest.raises(KitError, match="give the node's role") as caught:
            run(new.restore())
        assert not isinstance(caught.value, Unanswered)

    def test_what_is_here_already_is_success_though_the_change_is_refused(
        self, old: Kit[Any], scene: Scene, run: Run
    ) -> None:
        spoil(scene, unauthorized(MOVE))
        run(old.restore())
        assert scene.holder() == "db-01"

    def test_a_throttled_call_is_tried_three_times_and_no_more(
        self, new: Kit[Any], scene: Scene, run: Run
    ) -> None:
        spoil(scene, throttle(MOVE))
        with pytest.raises(Unanswered):
            run(new.restore())
        assert len(scene.server.control.journal(scene.operations[MOVE])) == 3

    @pytest.mark.parametrize(
        "rule",
        [
            throttle(LOOK),
            broken(LOOK),
            unauthorized(LOOK),
            Rule(operation=LOOK, fault="hang"),
            Rule(operation=LOOK, fault="drop-before"),
            Rule(operation=LOOK, fault="drop-after"),
        ],
        ids=name_of,
    )
    def test_a_check_that_is_not_answered_is_unknown_and_asks_once(
        self, old: Kit[Any], scene: Scene, run: Run, rule: Rule
    ) -> None:
        spoil(scene, rule)
        for calls in (1, 2):
            check = run(old.quick_check())
            assert check.health is Health.UNKNOWN
            assert check.why.startswith(scene.operations[LOOK].removeprefix("ec2:") + ": ")
            assert len(scene.server.control.journal()) == calls

    def test_remove_does_not_care_for_any_fault(self, old: Kit[Any], scene: Scene, run: Run) -> None:
        faults: tuple[Fault, ...] = ("error", "hang", "drop-before", "drop-after")
        for fault in faults:
            spoil(scene, Rule(fault=fault))
            for _ in range(2):
                run(old.remove())
        assert scene.server.control.journal() == []

    def test_a_restore_cut_short_is_finished_by_the_next(self, new: Kit[Any], scene: Scene, run: Run) -> None:
        async def cut_short() -> None:
            await asyncio.wait_for(new.restore(), 0.1)

        spoil(scene, Rule(operation=MOVE, fault="hang", left=1))
        with pytest.raises(TimeoutError):
            run(cut_short())
        run(new.restore())
        assert scene.holder() == scene.taker

    def test_without_authority_nothing_is_sent(self, scene: Scene, agent: Agent, run: Run) -> None:
        kit = scene.kit(agent, scene.taker, Brief(0))
        for action in (kit.restore, kit.recover, kit.reassert):
            with pytest.raises(Unanswered, match="authority over the hierarchy has run out"):
                run(action())
        assert scene.server.control.journal() == []
        assert run(kit.quick_check()).health is Health.FAILED  # to look needs none

    def test_a_former_owners_change_that_lands_late_is_won_back(
        self, new: Kit[Any], scene: Scene, agent: Agent, run: Run
    ) -> None:
        """db-01's first try is on its way when its second works; another node takes over; it lands."""
        spoil(scene, Rule(operation=MOVE, fault="late", left=1))
        run(scene.late_kit(agent).restore())
        run(new.restore())
        scene.server.control.release_late()
        wait_until(lambda: scene.holder() == "db-01")
        assert run(new.quick_check()).health is Health.FAILED
        assert new.reasserts
        for _ in REASSERT_AFTER_MS:
            run(new.reassert())
            assert scene.holder() == scene.taker
        assert run(new.quick_check()).health is Health.OK

    def test_to_reassert_is_to_write_and_then_to_look(self, old: Kit[Any], scene: Scene, run: Run) -> None:
        """Though the address is here as far as can be read."""
        run(old.reassert())
        calls = [call.operation for call in scene.server.control.journal()]
        assert calls == [scene.operations[MOVE], scene.operations[LOOK]]
