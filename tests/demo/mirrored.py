"""The story of the mirror: two virtual machines whose disks hold the same, whatever loses its power.

They are emulated and many times slower than real ones, so what it measures has no limits to keep.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.api.mirrors import ResyncDetails
from agent.api.reports import TimelineReport
from agent.cli.mirror_view import mirrors_page
from agent.cli.screen import Screen
from agent.cli.status_view import status_page
from agent.cli.timeline import timelines_page
from tests.demo.stage import Measured, is_fit, require, require_routes, say, show_routes, step
from tests.lab.disk import some
from tests.lab.replicated import ORDER, WITHIN_S, Replicated
from tests.machines.client import now_s
from tests.machines.records import Records
from tests.machines.reference import HIERARCHY, NODES, VIRTUAL_ADDRESS

MORE = 50  # records after each part of the story
MB = 1_000_000


@dataclass(kw_only=True)
class Figures(Measured):
    """What build/demo-lab.json holds; times are of emulated machines, at dead_after 10 s."""

    disk_bytes: int = 0
    first_copy: ResyncDetails | None = None
    start: TimelineReport | None = None
    switchover_wait_s: float = 0.0  # the longest that the client waited for an answer
    switchover: TimelineReport | None = None
    failover_wait_s: float = 0.0
    failover: TimelineReport | None = None
    rejoin: ResyncDetails | None = None
    records_acknowledged: int = 0
    records_missing: list[int] = field(default_factory=list)
    differing_chunks: list[int] = field(default_factory=list)


def tell(lab: Replicated, figures: Figures) -> None:
    """From blank disks to equal ones. Raises DemoFailed, CommandFailed or TimedOut."""
    first, second = NODES
    _begin(lab, figures, first)
    records = lab.start_records()
    say(f"A client outside writes numbered records through {VIRTUAL_ADDRESS}, one after the other.")
    _switch_over(lab, figures, records, second)
    _lose_power(lab, figures, records, second, first)
    _rejoin(lab, figures, records, first, second)
    _compare(lab, figures, records, first)


def _begin(lab: Replicated, figures: Figures, first: str) -> None:
    step("Two virtual machines boot, each with a kernel and a blank disk of its own")
    lab.start()
    lab.wait_connected(first)
    step(f"An operator begins: kage mirror create mirror-dir1 {first} --mkfs {lab.filesystem}")
    lab.create(first)
    lab.wait_in_service(first, WITHIN_S)
    figures.start = _timeline(lab, first, "start")
    show_routes(lab, lab.cloud.routes())
    step("The other disk is filled while the service runs; its copy counts once it is whole")
    lab.wait_whole(first)
    figures.disk_bytes = lab.disk_bytes(first)
    figures.first_copy = _resynced(lab, first, _other(first))
    _show(lab, first)
    print()


def _switch_over(lab: Replicated, figures: Figures, records: Records, target: str) -> None:
    step(f"An operator moves it: kage in-service {HIERARCHY} --node {target}")
    lab.wait_until(lambda: is_fit(lab, target), WITHIN_S, f"{target} is fit to take over")
    since = now_s()
    lab.switch_over(target)
    figures.switchover_wait_s = _waited(records, since)
    removed = lab.removed(_other(target))
    say(f"{_other(target)} removed {', '.join(removed)}")
    require(removed == [*reversed(ORDER)], "it wasn't removed from the top down")
    figures.switchover = _timeline(lab, target, "switchover")
    require_routes(lab, lab.cloud.routes(), target)
    _count(lab, figures, records, target)
    lab.wait_whole(target)


def _lose_power(lab: Replicated, figures: Figures, records: Records, owner: str, heir: str) -> None:
    step(f"{owner} loses its power, and half of what its disk hadn't flushed")
    since = now_s()
    lab.power_cut(owner, some(seed=4))
    lab.wait_in_service(heir, WITHIN_S)
    figures.failover_wait_s = _waited(records, since)
    figures.failover = _timeline(lab, heir, "failover")
    require_routes(lab, lab.cloud.routes(), heir)
    _count(lab, figures, records, heir)
    _show(lab, heir)


def _rejoin(lab: Replicated, figures: Figures, records: Records, source: str, returning: str) -> None:
    step(f"{returning} is switched on again: it gets what it missed, and loses what only it had")
    lab.start(returning)
    lab.wait_whole(source)
    figures.rejoin = _resynced(lab, source, returning)
    require(figures.rejoin.kind == "union", "everything was copied, not what was written meanwhile")
    require(lab.in_service(source), f"{HIERARCHY} left {source} unasked")
    records.wait_more(MORE, WITHIN_S)


def _compare(lab: Replicated, figures: Figures, records: Records, owner: str) -> None:
    step("The client stops, both machines are switched off, and their disks are compared from outside")
    records.stop()
    _count(lab, figures, records, owner)
    lab.end(owner)
    figures.differing_chunks = lab.differing_chunks()
    require(not figures.differing_chunks, f"the copies differ in {len(figures.differing_chunks)} chunks")
    say("The copies are the same, block for block.")


def _other(node: str) -> str:
    return next(each for each in NODES if each != node)


def _waited(records: Records, since: float) -> float:
    """The longest wait since then, once records are acknowledged again and for a while."""
    records.wait_more(MORE, WITHIN_S)
    waited_s = records.longest_wait_s(since)
    say(f"longest that the client waited for an answer: {waited_s:.1f} s")
    return waited_s


def _count(lab: Replicated, figures: Figures, records: Records, owner: str) -> None:
    acknowledged = len(records.acknowledged())
    figures.records_missing = lab.missing(records, owner)
    figures.records_acknowledged = acknowledged
    say(f"records acknowledged so far: {acknowledged}; missing on {owner}: {len(figures.records_missing)}")
    require(not figures.records_missing, f"acknowledged records are missing: {figures.records_missing}")


def _resynced(lab: Replicated, source: str, target: str) -> ResyncDetails:
    resync, size = lab.last_resync(source, target), lab.disk_bytes(target)
    what = f"{target} got {resync.bytes / MB:.1f} MB of a disk of {size / MB:.1f} MB"
    say(f"{what}, in {resync.seconds:.0f} s ({resync.kind} copy)")
    return resync


def _timeline(lab: Replicated, node: str, cause: str) -> TimelineReport:
    """The newest one of the node, shown; its resources were restored from the bottom up."""
    newest = next((each for each in lab.timelines(node) if each.cause == cause), None)
    require(newest is not None and newest.complete, f"{node} has no complete timeline of a {cause}")
    assert newest is not None
    screen = Screen.of_stdout()
    print()
    screen.show(timelines_page([newest], width=screen.width, bar="█" if screen.terminal else "#"))
    print()
    restored = lab.restored(node)
    say(f"{node} restored {', '.join(restored)}")
    require(restored == [each for each in ORDER if each in restored], "it wasn't restored from the bottom up")
    return newest


def _show(lab: Replicated, node: str) -> None:
    """`kage status` and `kage mirror status`; made here, since a guest would take a quarter of a minute."""
    screen = Screen.of_stdout()
    print()
    screen.show(status_page(lab.status(node), terminal=screen.terminal))
    print()
    screen.show(mirrors_page(lab.api(node).mirrors()))
