"""Guests for the tests that need some; a machine that can't have any skips these, and says why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import image
from tests.lab.lab import VmLab
from tests.lab.replicated import Replicated
from tests.logs import LOGS
from tests.machines.settings import Settings


@pytest.fixture(scope="session")
def built() -> None:
    """The lab can run here."""
    try:
        image.require()
    except image.NotBuilt as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="module")
def lab(built: None) -> Iterator[VmLab]:
    """Two guests that are up, the same for every test of a module: each leaves them so."""
    with VmLab() as lab:
        lab.start()
        yield lab


@pytest.fixture(scope="module")
def settings() -> Settings:
    """What a module wants its `cluster` to have beside the usual."""
    return {}


@pytest.fixture(scope="module")
def cluster(built: None, settings: Settings, request: pytest.FixtureRequest) -> Iterator[Replicated]:
    """The reference cluster on a mirror: in service, both copies whole. Each test leaves it so."""
    with Replicated(settings) as cluster:
        request.node.stash[LOGS] = cluster.log_tails
        cluster.begin()
        yield cluster
