"""What the kits' tests put in place of the agent's tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from recovery_kits.contract import CommandFailed, Run, Tools


class Table:
    """A `run` that answers by a table: the last entry whose words begin the command counts."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, ...], str | Exception] = {}
        self.calls: list[tuple[str, ...]] = []

    def answer(self, *words: str, by: str | Exception = "") -> None:
        """Answer commands that begin so by this stdout, or raise this."""
        self._answers[words] = by

    async def __call__(
        self, *argv: str, env: Mapping[str, str] | None = None, log: Callable[[str], None] | None = None
    ) -> str:
        """Look the command up; one that isn't in the table is an error of the test."""
        self.calls.append(argv)
        fitting = [words for words in self._answers if argv[: len(words)] == words]
        assert fitting, f"unexpected command: {argv}"
        answer = self._answers[max(fitting, key=len)]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Faulty:
    """Another `run`, whose call number `at` (from 0) raises `fault`, before or after it has worked."""

    def __init__(self, inner: Run, at: int, fault: BaseException, *, after: bool) -> None:
        self._inner, self._at, self._fault, self._after = inner, at, fault, after
        self.count = 0

    async def __call__(
        self, *argv: str, env: Mapping[str, str] | None = None, log: Callable[[str], None] | None = None
    ) -> str:
        """Run it, or fail."""
        number, self.count = self.count, self.count + 1
        if number == self._at and not self._after:
            raise self._fault
        printed = await self._inner(*argv, env=env, log=log)
        if number == self._at:
            raise self._fault
        return printed


class NoAws:
    """The AWS that a local kit must not ask."""

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"a local kit asked AWS for {name}")


def failed(*argv: str, code: int = 1, output: str = "it broke") -> CommandFailed:
    """A command's failure."""
    return CommandFailed(argv or ("command",), code, output)


def tools(run: Run, log: Callable[[str], None] = lambda _line: None) -> Tools:
    """Tools of a resource called `res` on node `db-01`."""
    return Tools(tag="res", node="db-01", run=run, aws=NoAws(), log=log)  # type: ignore[arg-type]
