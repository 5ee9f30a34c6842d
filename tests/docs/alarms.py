"""Which kinds of notice the agent can raise as alarms: read from its source.

An alarm is a call that is given `Severity.ALARM`, itself or by a local name, and a `Kind`. A place that
is given the one without the other would be missed, so it is an error.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from agent.core.effects import Kind

AGENT = Path(__file__).parents[2] / "agent"


@functools.cache
def raised() -> frozenset[Kind]:
    """All kinds of alarms."""
    return frozenset(
        kind for path in sorted(AGENT.rglob("*.py")) for kind in raised_in(ast.parse(path.read_text()))
    )


def raised_in(module: ast.AST) -> Iterator[Kind]:
    """The kinds that one module raises; ValueError where an alarm's kind can't be told."""
    functions = [
        each for each in ast.walk(module) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    for function in functions:
        names = {
            target.id
            for each in ast.walk(function)
            if isinstance(each, ast.Assign) and _says_alarm(each.value, set())
            for target in each.targets
            if isinstance(target, ast.Name)
        }
        for call in ast.walk(function):
            if isinstance(call, ast.Call):
                given = [*call.args, *(keyword.value for keyword in call.keywords)]
                if any(_says_alarm(each, names) for each in given):
                    yield _kind(given, call.lineno)


def _says_alarm(value: ast.expr, names: set[str]) -> bool:
    """Whether an argument is an alarm's severity, for certain or on a condition."""
    match value:
        case ast.IfExp():
            return _says_alarm(value.body, names) or _says_alarm(value.orelse, names)
        case ast.Attribute(value=ast.Name(id="Severity"), attr="ALARM"):
            return True
        case ast.Name(id=name):
            return name in names
        case _:
            return False


def _kind(given: list[ast.expr], line: int) -> Kind:
    for each in given:
        match each:
            case ast.Attribute(value=ast.Name(id="Kind"), attr=name):
                return Kind[name]
    raise ValueError(f"line {line}: an alarm is raised without a Kind beside it")
