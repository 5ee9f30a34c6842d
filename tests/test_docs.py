"""The documents don't lead astray: links lead somewhere, AWS's commands exist.

Pages that are written from the code are what the code says now, and each alarm has its section.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore import xform_name
from botocore.session import Session

from tests.docs.alarms import raised
from tests.docs.reference import FOLDER, pages

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "recovery_kits/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
AWS = re.compile(r"aws (?:ec2|dynamodb|s3api|iam|route53|elbv2|sns|ses|cloudwatch|sts) [a-z-]+.*")
OUTSIDE_THE_MODEL = {"region", "profile", "output", "query", "dry-run", "no-dry-run"}  # of the command itself


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids(DOCUMENTS))
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = [
        link for link in LINK.findall(document.read_text()) if not (document.parent / link).resolve().exists()
    ]
    assert not broken


def commands(document: Path) -> Iterator[str]:
    """Each AWS command of a document, in one line; it may stand in a sentence, in backticks."""
    text = document.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        for part in line.split("`"):
            if found := AWS.search(part):
                yield found.group()


def objection(command: str) -> str:
    """Why AWS's CLI wouldn't take it; empty if it would."""
    _, service, operation, *words = shlex.split(re.split(r"[|>]", command, maxsplit=1)[0])
    model = Session().get_service_model("s3" if service == "s3api" else service)
    known = {xform_name(each, "-"): each for each in model.operation_names}
    if operation == "wait":
        return ""
    if operation not in known:
        return f"{service} has no {operation}"
    shape = model.operation_model(known[operation]).input_shape
    members = {xform_name(each, "-") for each in (shape.members if shape is not None else ())}
    wanted = {xform_name(each, "-") for each in (shape.required_members if shape is not None else ())}
    given = {word[2:].split("=")[0] for word in words if word.startswith("--")} - OUTSIDE_THE_MODEL
    given = {each.removeprefix("no-") if each not in members else each for each in given}
    if strange := given - members:
        return f"{operation} knows no --{min(strange)}"
    lacking = wanted - given if given else set()  # without any it is a name in a sentence
    return f"{operation} wants --{min(lacking)}" if lacking else ""


SHOWN = sorted({command for document in DOCUMENTS for command in commands(document)})


@pytest.mark.parametrize("command", [each for each in SHOWN if "…" not in each.split("--")[0]])
def test_awss_commands_are_such_that_aws_knows(command: str) -> None:
    assert objection(command) == ""


def test_a_wrong_command_would_be_found() -> None:
    assert objection("aws ec2 replace-routes") == "ec2 has no replace-routes"
    assert objection("aws ec2 stop-instances --force") == "stop-instances wants --instance-ids"
    assert (
        objection("aws ec2 reboot-instances --instance-ids i-0 --hard") == "reboot-instances knows no --hard"
    )
    assert objection("aws ec2 reboot-instances --instance-ids i-0 --region r") == ""


@pytest.mark.parametrize("page", sorted(pages()), ids=lambda path: path.name)
def test_a_reference_page_is_what_the_code_says(page: Path) -> None:
    assert page.read_text() == pages()[page], "run: make reference"


def test_every_page_of_the_reference_is_written_from_the_code() -> None:
    assert set(FOLDER.glob("*")) == set(pages())


def test_every_alarm_has_its_section_and_no_other() -> None:
    told = re.findall(r"^### `([a-z-]+)`$", (ROOT / "docs" / "alarms.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted(kind.value for kind in raised())
