"""Writes every page of docs/reference from the code: `make reference`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.config.reference import reference
from tests.docs import cli_page, events_page, kits_page

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


def pages() -> Mapping[Path, str]:
    """Each page as the code has it now."""
    made = {
        "toml.md": reference(),
        "kits.md": kits_page.page(),
        "cli.md": cli_page.page(),
        "events.md": events_page.page(),
    }
    return {FOLDER / name: text for name, text in made.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text)
