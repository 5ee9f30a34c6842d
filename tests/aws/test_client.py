"""The client reads botocore's own models, only faster."""

from __future__ import annotations

from pathlib import Path

import botocore
import pytest
from botocore.loaders import JSONFileLoader

from agent.aws.setup import ModelFiles

DATA = Path(botocore.__file__).parent / "data"


@pytest.mark.parametrize("name", ["ec2/2016-11-15/service-2", "partitions", "endpoints", "no-such-file"])
def test_models_are_read_as_botocore_reads_them(name: str) -> None:
    path = str(DATA / name)
    assert ModelFiles().load_file(path) == JSONFileLoader().load_file(path)
