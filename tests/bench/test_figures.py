"""The table says what was measured, and whether it is within budget."""

from __future__ import annotations

from tests.bench.figures import Figure, medians


def test_one_value_above_the_budget_is_over_it() -> None:
    figure = Figure("failover", "s", (2.1, 2.5, 2.2), budget=2.4)
    assert figure.over
    assert figure.line().split() == ["failover", "3", "2.100", "2.200", "2.500", "2.400", "s", "OVER"]


def test_a_budget_that_is_reached_exactly_holds() -> None:
    figure = Figure("CPU", "% of a core", (0.5, 1.0), budget=1.0)
    assert not figure.over
    assert figure.line().endswith("ok")


def test_a_ratio_below_the_least_that_will_do_is_under_it() -> None:
    figure = Figure("mirror, of md", "of it", (0.96,), budget=0.97, at_least=True)
    assert figure.over
    assert figure.line().endswith("0.960    0.960    0.960    0.970 of it UNDER")


def test_a_figure_without_a_budget_is_neither() -> None:
    figure = Figure("memory", "MB", (40.0,))
    assert not figure.over
    assert figure.line().endswith("- MB")


def test_the_parts_are_the_medians_over_all_rounds() -> None:
    rounds = [[("silence", 2001.0), ("ownership", 3.0)], [("silence", 2003.0), ("ownership", 5.0)]]
    assert medians(rounds) == "silence 2002, ownership 4 ms"
