"""What every test may rest on."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest

from tests.logs import LOGS, pressure

# A shell starts what runs in its background with Ctrl-C ignored, and children inherit that: those of the
# tests that send it would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Where nothing may be left out (CI), a test that was skipped is one that failed."""
    skipped = len(terminalreporter.stats.get("skipped", ()))
    if skipped and os.environ.get("KAGE_NO_SKIPS"):
        terminalreporter.write_line(f"{skipped} tests were skipped, and KAGE_NO_SKIPS is set", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The exit code that goes with it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and os.environ.get("KAGE_NO_SKIPS") and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show a failed test's logs with it."""
    report = yield
    if report.failed:
        for node in item.listchain():
            if LOGS in node.stash:
                report.sections.append(("the machines' logs", node.stash[LOGS]()))
                report.sections.append(("what this machine's processes waited for", pressure()))
    return report
