"""Kits are found with and without installation; a broken one harms nobody but itself."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from agent.config.load import parse
from recovery_kits import registry
from recovery_kits.ip import IpKit
from recovery_kits.registry import GROUP, Kits, kits

ROOT = Path(__file__).parents[3]


class NotAKit:
    """What a third party might name by mistake."""


class Nameless(IpKit):
    """A kit that doesn't call itself what its entry point does."""


def point(name: str, value: str) -> EntryPoint:
    """An entry point of our group."""
    return EntryPoint(name, value, GROUP)


def test_the_built_in_kits_are_those_of_pyproject() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    assert declared == registry.BUILT_IN


@pytest.mark.parametrize("kind", ["filesystem", "generic", "ip", "systemd"])
def test_each_local_kit_loads_and_has_its_page_and_example(kind: str) -> None:
    kit = kits()[kind]
    assert kit.kind == kind
    folder = ROOT / "recovery_kits" / kind
    assert f"# {kind}" in (folder / "README.md").read_text()
    example = tomllib.loads((folder / "example.toml").read_text())
    (resource,) = example["hierarchy"]["app"]["resource"].values()
    assert resource["kit"] == kind


CLUSTER = """
[cluster]
name = "example"
quorum = "none"
key_file = "/etc/kagemusha/cluster.key"
[comm_path.eni-0]
priority = 1
db-01 = "10.0.3.4"
db-02 = "10.0.6.4"
[hierarchy.app]
nodes = ["db-01", "db-02"]
"""


@pytest.mark.parametrize("kind", ["filesystem", "generic", "ip", "systemd"])
def test_each_example_is_a_right_configuration(kind: str) -> None:
    example = (ROOT / "recovery_kits" / kind / "example.toml").read_text()
    alone = re.sub(r"(?m)^depends_on = .*$", "", example)
    config = parse(CLUSTER + alone, Path("example.toml"), kits())
    (resource,) = config.resources.values()
    assert resource.kit == kind
    assert set(resource.parameters) == {"db-01", "db-02"}


def test_a_broken_kit_is_named_and_the_others_work(caplog: pytest.LogCaptureFixture) -> None:
    found = Kits(
        {
            "gone": point("gone", "no_such_package:Kit"),
            "ip": point("ip", "recovery_kits.ip:IpKit"),
            "odd": point("odd", f"{__name__}:NotAKit"),
        }
    )
    assert "ip" in found
    assert "gone" not in found
    assert found.get("odd") is None
    assert list(found) == ["ip"]
    assert len(found) == 1
    assert "ModuleNotFoundError" in found.broken["gone"]
    assert "kit gone can't be used" in caplog.text


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("odd", "NotAKit", "not a subclass"),
        ("other", "Nameless", "calls itself 'ip'"),
        ("missing", "NoSuchName", "AttributeError"),
    ],
)
def test_why_it_is_broken(kind: str, value: str, why: str) -> None:
    found = Kits({kind: point(kind, f"{__name__}:{value}")})
    with pytest.raises(KeyError):
        found[kind]
    assert why in found.broken[kind]


def test_a_kit_is_imported_only_when_asked_for() -> None:
    assert "later" in list(Kits({"later": point("later", "no_such_package:Kit")}))


def test_a_third_party_adds_a_kit_but_replaces_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    brought = [point("ip", "theirs:IpKit"), point("extra", "recovery_kits.ip:IpKit")]
    monkeypatch.setattr(registry, "entry_points", lambda group: brought)
    found = kits.__wrapped__()
    assert found["ip"] is IpKit
    assert "extra" in list(found)
    assert "kit ip of theirs:IpKit is left out" in caplog.text
