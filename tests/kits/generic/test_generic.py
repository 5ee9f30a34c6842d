"""The `generic` kit with real shell scripts, written as for LifeKeeper."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil
import pytest

from agent.core.states import Health
from agent.runtime.process import Runner
from recovery_kits.contract import KitError
from recovery_kits.generic import GenericKit
from recovery_kits.generic.kit import GenericParameters
from recovery_kits.generic.scripts import script_findings
from tests.kits.fakes import Faulty, failed, tools

LIFEKEEPER_STYLE = """#!/bin/sh
# As they have been written for years.
while getopts "t:i:d:n:" option; do
    case $option in
        t|d) TAG=$OPTARG ;;
        i|n) ID=$OPTARG ;;
        *) echo "usage" >&2; exit 2 ;;
    esac
done
[ "$TAG" = "$KAGE_TAG" ] && [ "$ID" = "$KAGE_ID" ] || exit 3
echo "$KAGE_ACTION $TAG $ID $KAGE_INFO $KAGE_NODE $1"
state={state}
case $KAGE_ACTION in
    restore|recover) touch $state ;;
    remove|force-remove) rm -f $state ;;
    quick-check) test -e $state ;;
esac
"""


def write(path: Path, text: str) -> Path:
    """An executable script."""
    path.write_text(text)
    path.chmod(0o755)
    return path


class Engine:
    """An application under one script, whose state is a file."""

    def __init__(self, folder: Path, run: Runner, script: str = LIFEKEEPER_STYLE) -> None:
        self.state = folder / "state"
        self.script = write(folder / "engine", script.replace("{state}", str(self.state)))
        self.lines: list[str] = []
        self.run = run

    def kit(self, run: Runner | Faulty | None = None, **others: Path | None) -> GenericKit:
        """The kit, with one script for everything unless told otherwise."""
        scripts: dict[str, Path | None] = dict.fromkeys(
            ("restore", "remove", "quick_check", "recover"), self.script
        )
        parameters = GenericParameters(id="cyde", info="engine", **{**scripts, **others})  # type: ignore[arg-type]
        return GenericKit(parameters, tools(run or self.run, self.lines.append))


@pytest.fixture
def engine(tmp_path: Path, real_run: Runner) -> Engine:
    """An engine that isn't running."""
    return Engine(tmp_path, real_run)


def test_scripts_written_for_lifekeeper_run_unchanged(engine: Engine) -> None:
    kit = engine.kit()
    for action, runs in (("restore", True), ("recover", True), ("remove", False), ("force_remove", False)):
        for _ in range(2):
            asyncio.run(getattr(kit, action)())
            assert engine.state.exists() is runs
            check = asyncio.run(kit.quick_check())
            assert check.health is (Health.OK if runs else Health.FAILED)
    assert list(dict.fromkeys(engine.lines)) == [
        "restore res cyde engine db-01 -t",
        "quick-check res cyde engine db-01 -t",
        "recover res cyde engine db-01 -d",
        "remove res cyde engine db-01 -t",
        "force-remove res cyde engine db-01 -t",
    ]


@pytest.mark.parametrize("fault", [failed("script"), FileNotFoundError(2, "none"), asyncio.CancelledError()])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("action", ["restore", "recover", "remove", "force_remove"])
def test_a_failed_script_is_an_error_and_the_next_try_finishes(
    engine: Engine, action: str, after: bool, fault: BaseException
) -> None:
    with pytest.raises((KitError, asyncio.CancelledError)):
        asyncio.run(getattr(engine.kit(Faulty(engine.run, 0, fault, after=after)), action)())
    asyncio.run(getattr(engine.kit(), action)())
    assert engine.state.exists() is (action in {"restore", "recover"})


def test_an_error_carries_what_the_script_said(engine: Engine, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad", "#!/bin/sh\necho all is lost >&2\nexit 7\n")
    with pytest.raises(KitError, match=r"^res: restore: .*/bad exited with 7: all is lost$"):
        asyncio.run(engine.kit(restore=bad).restore())
    check = asyncio.run(engine.kit(quick_check=bad).quick_check())
    assert check.health is Health.FAILED
    assert "all is lost" in check.why
    assert engine.lines == ["all is lost", "all is lost"]


def test_a_check_script_that_is_gone_is_a_failure(engine: Engine, tmp_path: Path) -> None:
    gone = engine.kit(quick_check=tmp_path / "gone")
    assert asyncio.run(gone.quick_check()).health is Health.FAILED


@pytest.mark.parametrize(
    "fault", [OSError(28, "No space left on device"), FileNotFoundError(2, "No such file", "setpriv")]
)
def test_where_no_script_can_be_run_nobody_can_tell(engine: Engine, fault: OSError) -> None:
    check = asyncio.run(engine.kit(Faulty(engine.run, 0, fault, after=False)).quick_check())
    assert check.health is Health.UNKNOWN
    assert str(fault) in check.why


def test_without_quick_check_nobody_can_tell(engine: Engine) -> None:
    kit = engine.kit(quick_check=None)
    assert not GenericKit.can_check(kit.parameters)
    assert asyncio.run(kit.quick_check()).health is Health.UNKNOWN
    assert GenericKit.can_check(engine.kit().parameters)


def test_without_recover_a_failure_goes_straight_to_failover(engine: Engine) -> None:
    assert GenericKit.can_recover(engine.kit().parameters)
    assert not GenericKit.can_recover(engine.kit(recover=None).parameters)
    with pytest.raises(KitError, match="there is no recover script"):
        asyncio.run(engine.kit(recover=None).recover())
    assert engine.lines == []  # neither remove nor restore was tried


def test_without_force_remove_the_remove_script_is_tried_again(engine: Engine, tmp_path: Path) -> None:
    asyncio.run(engine.kit().force_remove())
    rough = write(tmp_path / "rough", "#!/bin/sh\necho rough\n")
    asyncio.run(engine.kit(force_remove=rough).force_remove())
    assert engine.lines == ["force-remove res cyde engine db-01 -t", "rough"]


def test_a_daemon_that_keeps_stdout_does_not_hold_up_restore(engine: Engine, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    start = write(tmp_path / "start", f"#!/bin/sh\nsleep 600 &\necho $! > {note}\n")
    asyncio.run(engine.kit(restore=start).restore())
    daemon = psutil.Process(int(note.read_text()))
    assert daemon.status() != psutil.STATUS_ZOMBIE
    daemon.kill()


def test_ten_megabytes_of_output_do_no_harm(engine: Engine, tmp_path: Path) -> None:
    chatty = write(tmp_path / "chatty", "#!/bin/sh\nyes 'all is well' | head -c 10000000\nexit 1\n")
    with pytest.raises(KitError) as caught:
        asyncio.run(engine.kit(restore=chatty).restore())
    assert len(str(caught.value)) < 5_000
    assert len(engine.lines) < 5_000


def test_a_script_that_hangs_goes_with_its_children(engine: Engine, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    deaf = "trap '' TERM; while :; do sleep 0.1; done"
    hung = write(
        tmp_path / "hung", f'#!/bin/sh\ntrap "" TERM\nsh -c "{deaf}" &\necho $! $$ > {note}\n{deaf}\n'
    )

    async def body() -> None:
        task = asyncio.create_task(engine.kit(remove=hung).remove())
        until = time.monotonic() + 10
        while not written(note):
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [pid for pid in written(note) if lives(pid)] == []

    asyncio.run(body())


def written(note: Path) -> list[int]:
    """The pids in a file that a script has written, [] before."""
    text = note.read_text() if note.exists() else ""
    return [int(word) for word in text.split()] if text.endswith("\n") else []


def lives(pid: int) -> bool:
    """Whether a process runs."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        ("#!/bin/sh\n", 0o644, "is not executable"),
        ("#!/bin/sh\n", 0o777, "can be written to by others"),
        ("#!/bin/sh\n", 0o775, "can be written to by others"),
        ("#!/bin/sh\r\necho\r\n", 0o755, "has DOS line ends"),
        ("#!/no/such/shell -e\n", 0o755, "'/no/such/shell -e', which doesn't exist"),
        ("echo hello\n", 0o755, "doesn't say what runs it"),
        ("#!\n", 0o755, "which doesn't exist"),
    ],
)
def test_validate_finds_what_would_keep_a_script_from_running(
    safe_folder: Path, text: str, mode: int, problem: str
) -> None:
    script = safe_folder / "script"
    script.write_text(text)
    script.chmod(mode)
    (finding,) = script_findings(script)
    assert problem in finding.problem
    assert finding.remedy


@pytest.fixture
def safe_folder(tmp_path: Path) -> Path:
    """A folder that only this user can write to."""
    tmp_path.chmod(0o755)
    return tmp_path


def test_a_folder_that_others_can_write_to_is_found(safe_folder: Path) -> None:
    folder = safe_folder / "open"
    folder.mkdir()
    script = write(folder / "script", "#!/bin/sh\n")
    assert script_findings(script) == []
    folder.chmod(0o777)
    (finding,) = script_findings(script)
    assert finding.problem == f"{folder} can be written to by others"


def test_a_script_that_is_not_there_or_is_a_folder(safe_folder: Path) -> None:
    assert "No such file" in script_findings(safe_folder / "none")[0].problem
    assert "is not a file" in script_findings(safe_folder)[0].problem


def test_a_binary_will_do() -> None:
    assert script_findings(Path("/bin/sh")) == []


def test_validate_looks_at_every_script_once(engine: Engine, tmp_path: Path) -> None:
    engine.script.chmod(0o644)
    findings = asyncio.run(engine.kit(force_remove=tmp_path / "none").validate())
    about = [finding.problem for finding in findings]
    assert about == [f"{engine.script} is not executable", f"{tmp_path}/none: No such file or directory"]
    assert engine.lines == []
