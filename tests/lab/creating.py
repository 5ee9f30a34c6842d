"""What `kage mirror create` does, asked of the API: the command itself takes a while in a guest."""

from __future__ import annotations

from collections.abc import Callable

from agent.api.client import AgentClient

Wait = Callable[[Callable[[], object], str], None]  # until it holds; and what is waited for


def create(api: AgentClient, tag: str, node: str, mkfs: str, wait: Wait) -> None:
    """Make the first copy there with a filesystem, and have it counted; `api` is that of its agent."""

    def made() -> bool:
        details = api.mirror(tag).nodes[node].details
        job = details.job if details is not None else None
        assert job is None or job.state != "failed", job
        return job is not None and job.state == "done"

    wait(lambda: api.ask_mirror(tag, "create", {"node": node, "mkfs": mkfs}).accepted, "it may be created")
    wait(made, "the filesystem is made")
    # Refused as long as it finds out what runs there.
    wait(lambda: api.ask_mirror(tag, "begin", {"node": node}).accepted, "it may begin")
