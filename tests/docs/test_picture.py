"""The picture of a failover is drawn from a run's figures, and the READMEs say the same ones."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.docs.picture import PICTURE, draw

ROOT = Path(__file__).parents[2]
FIGURES = {
    "failover_outage_s": 2.134,
    "switchover_outages_s": [0.157, 0.212],
    "parted_outage_s": 0.015,
    "timeline": {
        "hierarchy": "<groupware>",
        "node": "db-02",
        "total_ms": 2_300,
        "steps": [
            {"name": "silence of db-01", "start_ms": 0, "length_ms": 2_000},
            {"name": "ownership", "start_ms": 2_120, "length_ms": 13},
            {"name": "restore ip-vip", "start_ms": 2_133, "length_ms": 9},
        ],
    },
}


def words(picture: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]


def test_a_picture_says_the_runs_figures() -> None:
    said = words(draw(FIGURES))
    assert {"silence of db-01", "2000 ms", "120 ms", "ownership", "13 ms", "restore ip-vip", "9 ms"} <= {
        *said
    }
    text = " ".join(said)
    assert "2.13 s without an answer" in text
    assert "0.16, 0.21 s" in text
    assert "<groupware>" in text


@pytest.mark.parametrize("page", ["README.md", "README.ja.md"])
def test_what_a_readme_says_of_the_picture_stands_in_it(page: str) -> None:
    outage = re.search(r": ([\d.]+) s without", " ".join(words(PICTURE.read_text())))
    assert outage is not None
    told = re.search(r"!\[([^\]]*)\]\(docs/failover\.svg\)", (ROOT / page).read_text())
    assert told is not None
    assert outage[1] in told[1]
