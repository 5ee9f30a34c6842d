"""Terraform, on a copy of the project's modules, with a provider from a mirror or the registry.

Invariants: nothing is written into the project's own folder; every call has a time limit, and its output goes
to a file, never to a pipe that may be closed before the provider has ended; the environment is given, so no
setting of whoever runs the tests counts, and no credentials of theirs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.machines.machine import PROJECT

PROVIDER = "registry.terraform.io/hashicorp/aws"
MIRROR_VARIABLE = "TF_PROVIDER_MIRROR"
LEAVES = ("network", "node", "arbiter", "cluster_key", "observability")
LIMIT_S = 300.0
SETTINGS = {
    "CHECKPOINT_DISABLE": "1",  # asks nobody for newer versions
    "TF_IN_AUTOMATION": "1",
    "TF_INPUT": "0",
    "AWS_ACCESS_KEY_ID": "AKIATERRAFORM",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class TerraformFailed(Exception):
    """A call ended badly; the end of what it printed."""


class NotHere(Exception):
    """This machine lacks what is needed; the text says what, and how to get it."""


def mirror() -> Path | None:
    """The folder that holds the registry's name: that of TF_PROVIDER_MIRROR, else where it is customary."""
    if told := os.environ.get(MIRROR_VARIABLE):
        if not (Path(told) / PROVIDER).is_dir():
            raise NotHere(f"{MIRROR_VARIABLE}={told}: there is no {PROVIDER} in it")
        return Path(told)
    places = [Path.home() / ".terraform.d/plugins", *map(Path, _CUSTOMARY), *sorted(Path("/opt").glob("*"))]
    return next((each for each in places if (each / PROVIDER).is_dir()), None)


_CUSTOMARY = ("/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins")


def find_terraform() -> str:
    """The program."""
    found = shutil.which("terraform")
    if found is None:
        raise NotHere("terraform >= 1.11 is not installed: https://developer.hashicorp.com/terraform/install")
    return found


def copy_modules(to: Path) -> Path:
    """A copy of terraform/ and of what it refers to; the copy's terraform folder."""
    for name in ("terraform", "examples/garoon"):
        ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars*", "__pycache__")
        shutil.copytree(PROJECT / name, to / name, ignore=ignored)
    return to / "terraform"


def command(folder: Path, *arguments: str) -> list[str]:
    """The command line for one module's folder."""
    return [find_terraform(), f"-chdir={folder}", arguments[0], "-no-color", *arguments[1:]]


def terraform(folder: Path, *arguments: str, within_s: float = LIMIT_S) -> str:
    """Run it to its end; what it printed. Raises TerraformFailed unless it exits with 0."""
    log = folder / f"{arguments[0]}.log"
    with log.open("wb") as out:
        code = subprocess.run(
            command(folder, *arguments),
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **SETTINGS},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=within_s,
            check=False,
        ).returncode
    if code != 0:
        raise TerraformFailed(f"terraform {' '.join(arguments)} in {folder.name}: exit {code}\n{tail(log)}")
    return log.read_text()


def tail(log: Path, lines: int = 60) -> str:
    """The end of what it printed."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def initialise(folder: Path) -> None:
    """`terraform init`, from the mirror where there is one."""
    place = mirror()
    source = (f"-plugin-dir={place}",) if place else ()
    try:
        terraform(folder, "init", "-backend=false", *source)
    except TerraformFailed as error:
        if place is None and "registry.terraform.io" in str(error):
            raise NotHere(
                f"there is no mirror of the AWS provider ({MIRROR_VARIABLE} names none, and none was found), "
                f"and the registry doesn't answer:\n{error}"
            ) from error
        raise


def folders(root: Path) -> Iterator[Path]:
    """Every module's folder, and the lab's."""
    yield from (root / "modules" / name for name in LEAVES)
    yield root / "lab"
