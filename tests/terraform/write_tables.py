"""Writes the tables of variables and outputs in the READMEs of the modules and the lab, from their code.

    python -m tests.terraform.write_tables

Everything from the line "## Variables" on is written anew; a test compares the two.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.machines.machine import PROJECT
from tests.terraform import tool

START = "## Variables\n"
BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
FIELD = re.compile(
    r"^  (description|type|default) += (.*?)(?=^  \w+ +=|^  validation|\Z|^$)", re.MULTILINE | re.DOTALL
)


def tables(folder: Path) -> str:
    """Both tables, as Markdown."""
    lines = [START, "| name | type | default | |", "|---|---|---|---|"]
    for name, fields in _blocks(folder / "variables.tf"):
        default = f"`{_flat(fields['default'])}`" if "default" in fields else "**required**"
        lines.append(f"| `{name}` | `{_flat(fields['type'])}` | {default} | {_text(fields['description'])} |")
    lines += ["", "## Outputs", "", "| name | |", "|---|---|"]
    for name, fields in _blocks(folder / "outputs.tf"):
        lines.append(f"| `{name}` | {_text(fields['description'])} |")
    return "\n".join(lines) + "\n"


def readme(folder: Path) -> str:
    """The README with its tables as they should be."""
    return (folder / "README.md").read_text().partition(START)[0] + tables(folder)


def _blocks(file: Path) -> list[tuple[str, dict[str, str]]]:
    found = [(name, dict(FIELD.findall(body))) for _, name, body in BLOCK.findall(file.read_text())]
    if lacking := [name for name, fields in found if "description" not in fields]:
        raise ValueError(f"{file}: {', '.join(lacking)}: no description")
    return found


def _flat(code: str) -> str:
    return " ".join(code.split()).replace("|", "\\|")


def _text(quoted: str) -> str:
    return quoted.strip().strip('"').replace('\\"', '"').replace("|", "\\|")


def main() -> None:
    """Write them all."""
    for folder in tool.folders(PROJECT / "terraform"):
        (folder / "README.md").write_text(readme(folder))


if __name__ == "__main__":
    main()
