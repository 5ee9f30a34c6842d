"""`kage`: reads the command line, runs one verb, and turns every way it can end into an exit code."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper

from agent.api.errors import ApiError, Unreachable
from agent.cli import exits
from agent.cli.parser import build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit code. A wrong command line raises SystemExit(2)."""
    options = build_parser().parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an icon that the terminal lacks is no reason to fail
    try:
        code = _verb(options.run)(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        _let_go_of_stdout()
        return exits.BROKEN_PIPE
    except OSError as exc:  # a full disk behind stdout, no space for a temporary directory, …
        _let_go_of_stdout()
        return _complain(
            ": ".join(str(part) for part in (exc.filename, exc.strerror) if part), "", exits.REFUSED
        )
    except ApiError as exc:
        code = exits.NO_AGENT if isinstance(exc, Unreachable) else exits.REFUSED
        return _complain(exc.text, exc.hint, code)
    return code


def _complain(text: str, hint: str, code: int) -> int:
    from agent.cli.output import complain  # noqa: PLC0415 (main starts fast)

    complain(text, hint)
    return code


def _let_go_of_stdout() -> None:
    """What is still buffered can't be written; Python would try again at exit, and fail again."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _verb(run: str) -> Callable[[Namespace], int]:
    """What runs a verb; its module is imported only now, so that each verb starts fast."""
    module, _, name = run.partition(":")
    function: Callable[[Namespace], int] = getattr(import_module(f"agent.cli.{module}"), name)
    return function


if __name__ == "__main__":
    sys.exit(main())
