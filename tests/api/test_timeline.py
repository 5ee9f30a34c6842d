"""What a timeline says of a failover, a switchover, a start, and of one that didn't get there."""

from __future__ import annotations

from agent.api.reports import EventView, TimelineReport, TimelineStep
from agent.api.timeline import timelines


class Story:
    """Events as one node tells them, in milliseconds since it booted."""

    def __init__(self, boot_time: float = 1_000_000.0) -> None:
        self.events: list[EventView] = []
        self.boot_time = boot_time

    def tell(
        self, at_ms: int, kind: str, text: str = "", hierarchy: str | None = "app", **more: object
    ) -> None:
        self.events.append(
            EventView(
                id=len(self.events) + 1,
                time=self.boot_time + at_ms / 1_000,
                at_ms=at_ms,
                node="b",
                kind=kind,
                severity="info",
                text=text,
                hierarchy=hierarchy,
                **more,  # type: ignore[arg-type]  # the rest of its fields
            )
        )

    def sought(self, at_ms: int, why: str, reason: str) -> None:
        peer = "a" if reason == "owner-lost" else None
        self.tell(at_ms, "ownership-sought", f"taking it: {why}", reason=reason, peer=peer)

    def finished(self, at_ms: int, took_ms: int, action: str, tag: str, outcome: str = "ok") -> None:
        text = f"{action}: {outcome}"
        self.tell(at_ms, "action-finished", text, tag=tag, action=action, took_ms=took_ms)

    def lost(self, at_ms: int, took_ms: int, peer: str = "a") -> None:
        self.tell(at_ms, "peer-lost", "silent", hierarchy=None, peer=peer, took_ms=took_ms)

    def start(self, at_ms: int = 0, until: str = "in-service") -> None:
        """Owned after 5 ms, db up after 30 more, web after 15."""
        self.tell(at_ms + 5, "ownership-taken")
        self.finished(at_ms + 35, 30, "restore", "db")
        self.finished(at_ms + 50, 15, "restore", "web")
        self.tell(at_ms + 50, until)

    def newest(self) -> TimelineReport:
        return timelines(self.events, 1)[0]


def lengths(report: TimelineReport) -> dict[str, int]:
    return {step.name: step.length_ms for step in report.steps}


def test_nothing_happened() -> None:
    assert timelines([], 5) == []
    story = Story()
    story.lost(100, 50)
    assert timelines(story.events, 5) == []


def test_a_failover_counts_from_the_last_that_was_heard_of_the_owner() -> None:
    story = Story()
    story.lost(12_000, 2_010)
    story.sought(12_000, "its owner is lost", "owner-lost")
    story.start(12_000)
    report = story.newest()
    assert (report.cause, report.why, report.complete) == ("failover", "its owner is lost", True)
    assert (report.hierarchy, report.node) == ("app", "b")
    assert report.steps == [
        TimelineStep(name="silence of a", start_ms=0, length_ms=2_010),
        TimelineStep(name="ownership", start_ms=2_010, length_ms=5),
        TimelineStep(name="restore db", start_ms=2_015, length_ms=30),
        TimelineStep(name="restore web", start_ms=2_045, length_ms=15),
    ]
    assert report.total_ms == 2_060 == sum(lengths(report).values())
    assert report.start_time == story.boot_time + 9.990


def test_a_node_that_waited_for_its_turn_shows_the_gap() -> None:
    story = Story()
    story.lost(12_000, 2_000)
    story.sought(14_000, "its owner is lost", "owner-lost")
    story.start(14_000)
    report = story.newest()
    silence, ownership = report.steps[:2]
    assert silence.start_ms + silence.length_ms == 2_000
    assert ownership.start_ms == 4_000
    assert report.total_ms == 4_050
    assert report.start_time == story.boot_time + 10


def test_of_several_that_were_lost_the_owner_is_shown() -> None:
    story = Story()
    story.lost(10_000, 2_000, peer="a")
    story.lost(11_000, 2_500, peer="c")
    story.sought(12_000, "its owner is lost", "owner-lost")
    story.start(12_000)
    report = story.newest()
    assert report.steps[0] == TimelineStep(name="silence of a", start_ms=0, length_ms=2_000)
    assert report.total_ms == 4_050


def test_a_loss_that_is_over_is_no_part_of_it() -> None:
    for kind, at_ms in (("peer-alive", 6_000), ("peer-lost", 90_000)):  # it returned; an earlier boot
        story = Story()
        story.lost(5_000 if kind == "peer-alive" else at_ms, 2_000)
        if kind == "peer-alive":
            story.tell(at_ms, kind, hierarchy=None, peer="a")
        story.sought(60_000, "its owner is lost", "owner-lost")
        story.start(60_000)
        report = story.newest()
        assert list(lengths(report)) == ["ownership", "restore db", "restore web"]
        assert report.total_ms == 50


def test_the_wait_for_an_operators_word_is_shown() -> None:
    story = Story()
    story.lost(12_000, 2_000)
    story.tell(12_000, "confirmation", "a is lost. Shall b take it over?")
    story.tell(12_500, "confirmation", "another's", hierarchy="other")
    story.tell(13_000, "confirmation", "an operator answered: leave it until its owner is back")
    story.tell(15_000, "confirmation", "an operator answered: take it over")
    story.sought(15_000, "its owner is lost", "owner-lost")
    story.start(15_000)
    report = story.newest()
    assert report.steps[1] == TimelineStep(name="confirmation", start_ms=2_000, length_ms=3_000)
    assert report.total_ms == 5_050


def test_fencing_is_shown_whether_it_comes_before_or_after_ownership() -> None:
    for fenced_first in (True, False):
        story = Story()
        story.lost(12_000, 2_000)
        if fenced_first:  # quorum = "none"
            story.tell(12_000, "fencing-peer", "fencing a", peer="a")
            story.tell(14_000, "peer-fenced", "stopped", hierarchy=None, peer="a")
            story.sought(14_000, "its owner is lost", "owner-lost")
            story.start(14_000)
        else:
            story.sought(12_000, "its owner is lost", "owner-lost")
            story.tell(12_005, "ownership-taken")
            story.tell(12_005, "fencing-peer", "fencing a", peer="a")
            story.tell(13_000, "peer-fenced", "another's", hierarchy=None, peer="c")
            story.tell(14_005, "peer-fenced", "stopped", hierarchy=None, peer="a")
            story.finished(14_035, 30, "restore", "db")
            story.finished(14_050, 15, "restore", "web")
            story.tell(14_050, "in-service")
        report = story.newest()
        assert report.complete
        assert lengths(report)["fencing a"] == 2_000
        assert report.total_ms == 4_050


def test_fencing_that_fails_is_one_bar_that_goes_on() -> None:
    story = Story()
    story.lost(12_000, 2_000)
    story.sought(12_000, "its owner is lost", "owner-lost")
    story.tell(12_005, "ownership-taken")
    story.tell(12_005, "fencing-peer", "fencing a", peer="a")
    assert story.newest().steps[-1].outcome == "under way"
    story.tell(13_005, "fencing-failed", "no permission", hierarchy=None, peer="a")
    story.tell(23_005, "fencing-peer", "fencing a", peer="a")
    report = story.newest()
    assert not report.complete
    assert report.steps[-1] == TimelineStep(
        name="fencing a", start_ms=2_005, length_ms=11_000, outcome="failed"
    )


def test_ownership_that_no_majority_granted_is_shown_as_denied() -> None:
    story = Story()
    story.sought(1_000, "its owner is lost", "owner-lost")
    story.tell(1_300, "ownership-denied", "no majority answered")
    report = story.newest()
    assert report.steps == [TimelineStep(name="ownership", start_ms=0, length_ms=300, outcome="denied")]


def test_a_switchover_and_a_start_have_no_silence() -> None:
    for reason, cause in (("handed-over", "switchover"), ("first-start", "start"), ("asked", "start")):
        story = Story()
        story.lost(100, 50, peer="c")
        story.sought(5_000, "it was released to this node", reason)
        story.start(5_000)
        report = story.newest()
        assert report.cause == cause
        assert list(lengths(report)) == ["ownership", "restore db", "restore web"]
        assert report.total_ms == 50 == sum(lengths(report).values())
        assert report.start_time == story.boot_time + 5


def test_branches_that_run_beside_each_other_overlap() -> None:
    story = Story()
    story.sought(0, "", "first-start")
    story.tell(5, "ownership-taken")
    story.finished(105, 100, "restore", "db")
    story.finished(125, 120, "restore", "fs")
    story.tell(125, "in-service")
    report = story.newest()
    assert [(each.start_ms, each.length_ms) for each in report.steps] == [(0, 5), (5, 100), (5, 120)]
    assert report.total_ms == 125


def test_one_that_did_not_get_there_is_incomplete_and_shows_what_failed() -> None:
    story = Story()
    story.sought(1_000, "its owner is lost", "owner-lost")
    story.tell(1_005, "ownership-taken")
    story.finished(1_305, 300, "restore", "db", "failed: no space: none at all")
    story.tell(1_310, "failover-begun", "failing over to c")
    story.finished(1_400, 90, "remove", "db")
    story.tell(1_400, "out-of-service")
    story.finished(9_000, 10, "remove", "web")
    report = story.newest()
    assert not report.complete
    assert [(each.name, each.outcome) for each in report.steps] == [
        ("ownership", "ok"),
        ("restore db", "failed"),
        ("remove db", "ok"),
    ]
    assert report.total_ms == 400


def test_one_that_never_got_the_ownership_is_incomplete() -> None:
    story = Story()
    story.sought(1_000, "its owner is lost", "owner-lost")
    story.sought(2_000, "its owner is lost", "owner-lost")
    story.start(2_000)
    second, first = timelines(story.events, 5)
    assert (first.complete, first.steps, first.total_ms) == (False, [], 0)
    assert second.complete


def test_another_boot_of_the_machine_is_another_story() -> None:
    story = Story()
    story.sought(900_000, "its owner is lost", "owner-lost")
    story.tell(900_005, "ownership-taken")
    story.finished(30_000, 100, "remove", "db")
    story.tell(30_000, "in-service")
    report = story.newest()
    assert not report.complete
    assert list(lengths(report)) == ["ownership"]


def test_other_hierarchies_and_their_ends_are_no_part_of_it() -> None:
    story = Story()
    story.sought(0, "", "first-start")
    story.tell(1, "in-service", hierarchy="other")
    story.tell(2, "out-of-service", hierarchy="other")
    story.tell(3, "path-down", hierarchy=None)
    story.start()
    assert story.newest().complete
    assert story.newest().total_ms == 50


def test_the_newest_come_first_and_no_more_than_asked_for() -> None:
    story = Story()
    for number in range(5):
        story.sought(number * 1_000, f"{number}", "first-start")
        story.start(number * 1_000)
    assert [each.why for each in timelines(story.events, 3)] == ["4", "3", "2"]
    assert [each.why for each in timelines(story.events, 99)] == ["4", "3", "2", "1", "0"]
    assert timelines(story.events, 0) == []


def test_a_text_of_another_version_is_no_defect() -> None:
    story = Story()
    story.sought(0, "", "first-start")
    story.tell(5, "action-finished", "done", tag="db", action="restore")
    assert lengths(story.newest()) == {"restore db": 0}
