"""A hook of mkdocs: gives a place to every page that mkdocs.yml doesn't name, so that none is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig

FOLDERS = {  # whose pages have a section
    "recovery_kits/": "Kits",
    "terraform/": "Terraform modules",
    "examples/": "Examples",
    "docs/decisions/": "Decisions",
}


def on_config(config: MkDocsConfig) -> None:
    """Put each page without a place in its folder's section, or under Project."""
    assert config.nav is not None
    source = Path(config.docs_dir)
    place(config.nav, sorted(str(page.relative_to(source)) for page in source.rglob("*.md")))


def place(nav: list[dict[str, Any]], pages: list[str]) -> None:
    """Append to the sections of `nav` what it doesn't name yet."""
    sections = {name: entries for each in nav for name, entries in each.items() if isinstance(entries, list)}
    placed = {page for each in nav for page in each.values() if isinstance(page, str)}
    placed |= {page for entries in sections.values() for each in entries for page in each.values()}
    for page in pages:
        if page not in placed:
            sections[next((FOLDERS[each] for each in FOLDERS if page.startswith(each)), "Project")].append(
                page
            )
