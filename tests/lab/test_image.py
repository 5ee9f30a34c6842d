"""A machine that can't run guests is told why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab import image
from tests.lab.lab import VmLab


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this machine had all it takes."""
    monkeypatch.setattr(image, "why_not", lambda: "")


def test_without_root_there_is_no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(image.NotBuilt, match="needs root"):
        VmLab()


def test_a_machine_that_can_run_no_guests_has_nothing_to_build(capsys: pytest.CaptureFixture[str]) -> None:
    built = list[str]()
    image.build_if_possible("the VM lab needs a moon", lambda: built.append("an image"))
    assert built == []
    assert capsys.readouterr().err == "lab: the VM lab needs a moon; its tests will be skipped\n"


@pytest.mark.usefixtures("able")
def test_a_lab_that_is_not_built_says_how_to_build_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(image, "BUILD", tmp_path)
    with pytest.raises(image.NotBuilt, match="make lab"):
        VmLab()
    (tmp_path / "built").write_text("of another version")
    with pytest.raises(image.NotBuilt, match="make lab"):
        VmLab()
