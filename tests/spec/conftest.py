from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.spec import world


@pytest.fixture(autouse=True)
def every_world_keeps_the_rules_to_its_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each world that a test made is verified when the test is over."""
    made: list[world.World] = []
    begin = world.World.__init__

    def remembered(self: world.World, *args: object, **settings: object) -> None:
        begin(self, *args, **settings)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(world.World, "__init__", remembered)
    yield
    for each in made:
        each.verify()
