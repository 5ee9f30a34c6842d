"""The modules, copied and ready; a test that can't have Terraform here is skipped, and says why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.terraform import tool

# Its environment is large: `make terraform` asks for it, `make test` does without.
collect_ignore = [] if os.environ.get("KAGE_CHECKOV") else ["test_checkov.py"]


@pytest.fixture(scope="package")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The terraform folder of a copy, in which every module is initialised."""
    root = tool.copy_modules(tmp_path_factory.mktemp("terraform"))
    try:
        for folder in tool.folders(root):
            tool.initialise(folder)
    except tool.NotHere as error:
        pytest.skip(str(error))
    return root
