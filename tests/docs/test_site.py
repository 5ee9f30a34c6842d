"""The site is built without a warning; links, anchors, lists and tables are as they are meant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.places import place
from tests.docs.site import ROOT, build, pages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("docs")
    done = build(ROOT, output)
    assert done.returncode == 0, done.stderr
    return output / "site"


def test_every_page_is_in_the_site(site: Path) -> None:
    built = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    meant = {page.relative_to(ROOT) for page in pages()}
    assert {page.with_name("index.md") if page.name == "README.md" else page for page in meant} <= built


def test_no_list_or_table_is_left_as_text(site: Path) -> None:
    """GitHub takes one right below a paragraph; Markdown proper wants an empty line between."""
    left = re.compile(r"<p>(?:(?!</p>).)*?\n(?:- |\d\. |\|)", re.DOTALL)
    texts = {path.relative_to(site): left.findall(path.read_text()) for path in site.rglob("*.html")}
    assert {path: found for path, found in texts.items() if found} == {}


def test_every_kit_is_in_the_list_of_its_section(site: Path) -> None:
    listed = re.findall(
        r'<a href="(\S+)" class="md-nav__link">\s*<span[^>]*>\s*([\w-]+):', (site / "index.html").read_text()
    )
    assert [page for page, _ in listed] == [
        f"{each.relative_to(ROOT).parent}/index.html" for each in pages() if "recovery_kits" in each.parts
    ]


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for page in pages():
        copy = root / page.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("# Nothing\n")
    links = ("gone.md", "agent/gone.py", "docs/aws.md#nowhere")
    (root / "README.md").write_text("# Kagemusha\n\n" + " ".join(f"[this]({link})" for link in links))
    done = build(root, tmp_path / "built")
    assert done.returncode != 0
    assert [link for link in links if f"'{link}'" not in done.stderr] == []


def test_a_page_without_a_place_gets_one() -> None:
    changelog = {"Changelog": "CHANGELOG.md"}
    nav: list[dict[str, Any]] = [{"Why": "README.md"}, {"Kits": []}, {"Project": [changelog]}]
    place(nav, ["CHANGELOG.md", "README.md", "docs/new.md", "recovery_kits/ip/README.md"])
    assert nav[1:] == [
        {"Kits": ["recovery_kits/ip/README.md"]},
        {"Project": [changelog, "docs/new.md"]},
    ]
