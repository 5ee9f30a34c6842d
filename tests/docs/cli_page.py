"""docs/reference/cli.md: every verb and option of `kage`, as its parser has them."""

from __future__ import annotations

import argparse
from argparse import Action, ArgumentParser
from collections.abc import Iterator

from agent.cli.exits import MEANINGS
from agent.cli.parser import build_parser

INTRODUCTION = """\
# Every verb of `kage`

Written from the code by `make reference`; a test compares the two. What the verbs print, and when to use
which: [cli.md](../cli.md). `kage --version` prints the version, too.

Every verb takes these options, before or after its name:
"""
EVERYWHERE = {"help", "config", "socket", "json"}  # told once


def page() -> str:
    """The whole page: options of all verbs, exit codes, then verb by verb."""
    parser = build_parser()
    shared = [each for each in parser._actions if each.dest in EVERYWHERE]
    codes = [f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(
        [
            INTRODUCTION,
            *_table(shared),
            "## Exit codes\n",
            "| code | meaning |",
            "|---|---|",
            *codes,
            "",
            *_verbs(parser),
        ]
    )


def _verbs(parser: ArgumentParser) -> Iterator[str]:
    """A section for each verb, and for each action of those that have some."""
    for name, (verb, summary) in _below(parser).items():
        actions = _below(verb)
        yield from _section(f"kage {name}", verb, summary, "##")
        for action, (inner, what) in actions.items():
            yield from _section(f"kage {name} {action}", inner, what, "###")


def _below(parser: ArgumentParser) -> dict[str, tuple[ArgumentParser, str]]:
    """The verbs of a parser with their summaries; none for one that is a verb's last word."""
    found = {}
    for each in parser._actions:
        if isinstance(each, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in each._choices_actions}
            found.update({name: (verb, summaries[name]) for name, verb in each.choices.items()})
    return found


def _section(title: str, parser: ArgumentParser, summary: str, level: str) -> Iterator[str]:
    own = [
        each
        for each in parser._actions
        if each.dest not in EVERYWHERE and not isinstance(each, argparse._SubParsersAction)
    ]
    own.sort(key=lambda each: bool(each.option_strings))  # names first, then options
    words = [title, *map(_usage, own), *(["ACTION …"] if _below(parser) else [])]
    yield f"{level} `{title}`\n"
    yield f"{summary[:1].upper()}{summary[1:]}.\n"
    yield f"```\n{' '.join(words)}\n```\n"
    yield from _table(own)


def _table(actions: list[Action]) -> Iterator[str]:
    if actions:
        yield "| | |"
        yield "|---|---|"
        for each in actions:
            yield f"| `{_name(each)}` | {each.help} |".replace("%(default)s", str(each.default))
        yield ""


def _name(action: Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest)
    return ", ".join(action.option_strings) + _value(action)


def _value(action: Action) -> str:
    if action.nargs == 0:
        return ""
    assert action.metavar, action.option_strings  # a choice would need a | in a table
    return f" {action.metavar}"


def _usage(action: Action) -> str:
    """As it stands in the line that shows how a verb is written."""
    if action.option_strings:
        text = action.option_strings[0] + _value(action)
        return text if action.required else f"[{text}]"
    text = "|".join(map(str, action.choices)) if action.choices else _name(action)
    return f"[{text}]" if action.nargs == "?" else text
