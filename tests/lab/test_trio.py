"""Three nodes with agents: a service goes from one to the next, and only where its data is whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.disk import some
from tests.lab.mirror_lab import differences, shut_down
from tests.lab.trio import HIERARCHY, NODES, Trio
from tests.lab.writes import writing
from tests.logs import LOGS, tails

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3_000)]  # minutes on a quiet machine

FIRST, SECOND, THIRD = NODES


@pytest.fixture
def trio(built: None, request: pytest.FixtureRequest) -> Iterator[Trio]:
    """In service on the first node, with a copy on the second."""
    with Trio() as trio:
        request.node.stash[LOGS] = lambda: tails(trio.logs)
        trio.begin()
        yield trio


def test_a_third_node_joins_and_a_service_goes_from_node_to_node_only_where_its_data_is_whole(
    trio: Trio,
) -> None:
    guests = trio.guests
    with writing(guests[FIRST], "first") as first:
        trio.extend()  # the array was made for two
        trio.wait_counted(FIRST, *NODES)
        first.go_on()
        trio.power_cut(FIRST, some(seed=1))
    trio.wait_in_service(SECOND)
    assert first.missing(guests[SECOND], "first") == []

    with writing(guests[SECOND], "second") as second:
        trio.wait_counted(SECOND, SECOND, THIRD)
        second.go_on()
        trio.power_cut(SECOND, some(seed=2))
    trio.wait(lambda: trio.told(THIRD, "peer-lost", SECOND), f"{THIRD} has noticed")
    trio.start(FIRST)  # first in the list, but what the second one wrote it never saw
    trio.wait_in_service(THIRD)
    lost, heard = trio.told(THIRD, "peer-lost", SECOND), trio.told(THIRD, "peer-alive", FIRST)
    assert 0 < lost < heard < trio.told(THIRD, "in-service")  # one vote of three wasn't enough
    for writes, name in ((first, "first"), (second, "second")):
        assert writes.missing(guests[THIRD], name) == []

    with writing(guests[THIRD], "third") as third:
        trio.start(SECOND)
        trio.wait_counted(THIRD, *NODES)
        third.go_on()
    assert third.missing(guests[THIRD], "third") == []
    print(f"{sum(each.count() for each in (first, second, third))} records")

    assert trio.api(THIRD).take_out_of_service(HIERARCHY).accepted
    trio.wait(lambda: trio.hierarchy(THIRD).owner is None, "it is out of service")
    shut_down(trio)
    assert differences(trio) == 0
