"""What isn't fine with replicated data, and what an operator can do: a line each, none where all is well."""

from __future__ import annotations

from collections.abc import Iterator

from agent.api.mirrors import LegDetails, MirrorOnNode, MirrorReport

PRESENT = frozenset({"self", "alive"})
LONG_STALL_MS = 1_000  # shorter ones are a network's daily life


def remarks(mirror: MirrorReport) -> Iterator[str]:
    """The most urgent first."""
    owner = mirror.nodes.get(mirror.owner or "")
    if not mirror.in_sync:
        yield from _nothing_counts(mirror)
    elif not any(_present(mirror, node) for node in mirror.in_sync):
        yield from _whole_copies_are_away(mirror)
    elif mirror.in_service and owner is not None and owner.standing in PRESENT:
        for node, on in mirror.nodes.items():
            if node != mirror.owner:
                yield from _about_target(mirror, node, on)
    for node, on in mirror.nodes.items():
        yield from _about_node(node, on)


def _present(mirror: MirrorReport, node: str) -> bool:
    return node in mirror.nodes and mirror.nodes[node].standing in PRESENT


def _nothing_counts(mirror: MirrorReport) -> Iterator[str]:
    jobs = (on.details.job for on in mirror.nodes.values() if on.details is not None)
    if not any(job is not None and (job.verb, job.state) == ("create", "running") for job in jobs):
        create = f"kage mirror create {mirror.tag} NODE"
        yield f"no copy counts yet; name the node whose disk shall be the first: {create}"


def _whole_copies_are_away(mirror: MirrorReport) -> Iterator[str]:
    """Both were down and the wrong one returned; or the one that ran alone is gone."""
    whole, here = " or ".join(mirror.in_sync), [node for node in mirror.nodes if _present(mirror, node)]
    if not here:
        yield f"none of its nodes answers: start {whole}"
        return
    lacking = f"the copy of {' and '.join(here)} lacks writes that {whole} may have"
    force = f"kage mirror force {mirror.tag} {here[0]}"
    yield f"{lacking}: start {whole}; if the data there is lost for good: {force}"


def _about_target(mirror: MirrorReport, node: str, on: MirrorOnNode) -> Iterator[str]:
    leg = mirror.leg(node)
    alone = f"; until then {mirror.owner} alone has everything" if len(mirror.in_sync) == 1 else ""
    if leg is not None and leg.stalled_ms >= LONG_STALL_MS:
        yield f"writes have waited {leg.stalled_ms / 1_000:.0f} s for {node}{_because(leg)}"
    elif leg is not None and leg.slow_ms:
        pause = f"kage mirror pause {mirror.tag} {node}"
        yield f"{node} takes {leg.slow_ms} ms for an answer; to go on without it: {pause}"
    elif on.standing not in PRESENT:
        if not on.in_sync:
            yield f"it goes on without {node}: start that node, and its copy is filled by itself{alone}"
    elif leg is None:
        if not on.in_sync:
            yield f"{node} isn't in sync, and {mirror.owner} tells nothing of its copy{alone}"
    elif (text := _about_leg(mirror.tag, leg)) and not on.in_sync:
        yield f"{text}{alone}"


def _about_leg(tag: str, leg: LegDetails) -> str:
    match leg.state:
        case "in-sync" | "copying":  # on its way; the table shows how far
            return ""
        case "paused":
            return (
                f"nothing is copied to {leg.node}, as an operator wanted: kage mirror resume {tag} {leg.node}"
            )
        case "refused":
            wipe = f"if nothing on it is needed: kage mirror wipe {tag} {leg.node}"
            return f"the disk of {leg.node} isn't taken{_because(leg)}; {wipe}"
        case "queued":
            return f"{leg.node} lacks writes{_because(leg)}"
        case "slow":
            resume = f"kage mirror resume {tag} {leg.node}"
            return f"writes go on without {leg.node}{_because(leg)}; at once by {resume}"
        case "unreachable":
            return f"the copy of {leg.node} can't be reached, though its agent answers{_because(leg)}"
        case _:
            return f"{leg.node} is back and lacks writes; its copy is filled by itself{_because(leg)}"


def _because(leg: LegDetails) -> str:
    return f": {leg.why}" if leg.why else ""


def _about_node(node: str, on: MirrorOnNode) -> Iterator[str]:
    if on.details is None:
        return
    disk, job = on.details.disk, on.details.job
    if disk.why:
        yield f"{disk.path or 'the disk'} on {node}: {disk.why}"
    if job is not None and job.state == "failed":
        yield f"{job.verb} on {node} failed: {job.text}"
