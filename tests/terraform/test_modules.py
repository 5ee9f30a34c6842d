"""Each module by itself: well formed, and the promises in its tests/*.tftest.hcl, with a mocked provider."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.machines.machine import PROJECT
from tests.terraform import tool
from tests.terraform.write_tables import readme, tables

FOLDERS = [*(f"modules/{name}" for name in tool.LEAVES), "lab"]
# Terraform 1.11 can't mock an ephemeral resource, which the others hold: test_lab.py shows their promises.
MOCKED = [each for each in FOLDERS if (PROJECT / "terraform" / each / "tests").is_dir()]
WRONG = {
    "name": "Garoon",
    "region": "tokyo",  # so that the provider isn't even configured
    "zone_letters": ["a", "a"],
    "image_id": "debian-12",
    "node_type": "large",
    "device": "first interface",
    "preset": "eager",
    "data_volume_gib": 0,
    "private_zone": "groupware",
    "endpoint": "http://aws.example.com",
}


def test_everything_is_formatted(modules: Path) -> None:
    assert tool.terraform(modules, "fmt", "-check", "-recursive", "-diff") == ""


def test_the_lab_is_valid_with_all_its_modules(modules: Path) -> None:
    assert "Success!" in tool.terraform(modules / "lab", "validate")


@pytest.mark.parametrize("folder", MOCKED)
def test_a_module_keeps_its_promises(modules: Path, folder: str) -> None:
    report = tool.terraform(modules / folder, "test")
    passed = re.search(r"Success! (\d+) passed, 0 failed\.", report)
    assert passed, report
    written = "".join(path.read_text() for path in (modules / folder / "tests").glob("*.tftest.hcl"))
    assert int(passed[1]) == len(re.findall(r"^run ", written, re.MULTILINE))


def test_no_instance_boots_before_its_way_out_is_there(modules: Path) -> None:
    graph = tool.terraform(modules / "lab", "graph", "-type=plan")
    needs: dict[str, set[str]] = {}
    for one, other in re.findall(r'"\[root\] ([^"]+)" -> "\[root\] ([^"]+)"', graph):
        needs.setdefault(one, set()).add(other)
    for instance, way in (("module.node.aws_instance.this", "nodes"), ("aws_instance.host", "app")):
        before, left = set[str](), [f"{instance} (expand)"]
        while left:
            found = needs.get(left.pop(), set()) - before
            before |= found
            left += found
        assert f"module.network.aws_route.out_of_{way} (expand)" in before


def test_the_lab_says_everything_that_is_wrong_at_once(modules: Path) -> None:
    package = {"source": "https://packages.example.com/kagemusha.deb", "sha256": "0" * 64}
    (modules / "lab/wrong.tfvars.json").write_text(json.dumps(WRONG | {"package": package}))
    with pytest.raises(tool.TerraformFailed) as failed:
        tool.terraform(modules / "lab", "plan", "-var-file=wrong.tfvars.json")
    said = (modules / "lab/plan.log").read_text()
    refused = [name for name in WRONG if f"var.{name} is " in said]
    assert refused == list(WRONG), failed.value


def test_a_broken_promise_is_noticed(modules: Path, tmp_path: Path) -> None:
    folder = tool.copy_modules(tmp_path) / "modules/arbiter"
    main = folder / "main.tf"
    main.write_text(main.read_text().replace('"PAY_PER_REQUEST"', '"PROVISIONED"').replace('"id"', '"key"'))
    tool.initialise(folder)
    with pytest.raises(tool.TerraformFailed, match="Its partition key is id"):
        tool.terraform(folder, "test")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_readme_has_every_variable_and_output_with_its_description(folder: str) -> None:
    place = PROJECT / "terraform" / folder
    assert (place / "README.md").read_text() == readme(place), "python -m tests.terraform.write_tables"


def test_a_variable_without_a_description_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "variables.tf").write_text('variable "name" {\n  type = string\n}\n')
    with pytest.raises(ValueError, match="name: no description"):
        tables(tmp_path)
