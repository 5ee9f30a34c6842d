"""A running cluster for each test; one that a test left as it was serves the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.api.errors import ApiError
from tests.cluster.cluster import Cluster
from tests.logs import LOGS
from tests.machines.settings import Settings


class _Kept:
    """At most one running cluster, with the settings that it was made with."""

    def __init__(self) -> None:
        self._cluster: Cluster | None = None
        self._settings: Settings = {}

    def take(self, settings: Settings) -> Cluster:
        """The one kept if it is as new and as wanted, else a new one, in service on db-01."""
        if self._cluster is not None and self._settings == settings and _is_as_new(self._cluster):
            return self._cluster
        self.close()
        cluster = self._cluster = Cluster(settings).__enter__()
        self._settings = settings
        cluster.start()
        cluster.begin_on("db-01")
        cluster.wait_eligible("db-02")
        cluster.wait_connected()
        return cluster

    def log_tails(self) -> str:
        """The logs of the one kept."""
        return self._cluster.log_tails() if self._cluster is not None else ""

    def close(self) -> None:
        """End it."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None


def _is_as_new(cluster: Cluster) -> bool:
    try:
        return cluster.as_new
    except ApiError:
        return False


@pytest.fixture(scope="package")  # what comes after has the machine for itself
def _kept() -> Iterator[_Kept]:
    kept = _Kept()
    yield kept
    kept.close()


@pytest.fixture
def cluster(_kept: _Kept, request: pytest.FixtureRequest) -> Cluster:
    """Both nodes up, everything in service on db-01, with what @pytest.mark.parametrize("cluster", …) set."""
    request.node.stash[LOGS] = _kept.log_tails
    return _kept.take(getattr(request, "param", {}))


@pytest.fixture
def dark(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of its own in which no machine is on yet."""
    with Cluster(getattr(request, "param", {})) as cluster:
        request.node.stash[LOGS] = cluster.log_tails
        yield cluster
