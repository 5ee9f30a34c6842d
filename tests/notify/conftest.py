from __future__ import annotations

from pathlib import Path

import pytest

from tests.aws_server.fixtures import aws_process, aws_server, only_loopback
from tests.notify.servers import make_certificate

__all__ = ["aws_process", "aws_server", "only_loopback"]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """For 127.0.0.1, and its key."""
    return make_certificate(tmp_path_factory.mktemp("certificates"), "here", "127.0.0.1")


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("swordfish\n")
    path.chmod(0o400)
    return path
