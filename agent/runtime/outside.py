"""What the core asks of the world outside the cluster: a vote, evidence, a sign of life.

Keeps: each question is answered once, within a limit, by an event; none is repeated here, for whether to
ask again is the core's to decide; nobody waits for the answer.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from agent.arbiters.contract import Arbiter, ArbiterRefused, ArbiterUnanswered, Conflict, Record, Version
from agent.arbiters.opening import open_arbiter
from agent.aws import AwsSession
from agent.aws.errors import AwsError
from agent.config.hostports import HostPort
from agent.config.model import Config
from agent.core.effects import AskArbiter
from agent.core.events import ArbiterAnswered, Event, FencingEnded, OutsideProbed
from agent.core.ids import Instant, NodeId
from agent.core.messages import ArbiterRecord
from agent.core.states import ArbiterOutcome
from agent.fencing.levels import NotFenced
from agent.fencing.opening import open_levels
from agent.runtime.realtime import precede

PROBE_LIMIT_S = 2.0

_log = logging.getLogger(__name__)


class Outside:
    """Asks on behalf of one agent; make it in the event loop's thread."""

    def __init__(
        self, me: NodeId, config: Config, clock_ms: Callable[[], Instant], feed: Callable[[Event], None]
    ) -> None:
        self._config, self._clock_ms, self._feed = config, clock_ms, feed
        self._arbiter = _open_arbiter(config)
        self._aws = AwsSession(config.aws.region)  # its own: fencing doesn't wait for a kit's calls
        self._levels = open_levels(config.fencing_levels, me, self._aws.ec2)
        self._warm = asyncio.Event()  # the first questions wait for what `warm_up` loads
        self._tasks = set[asyncio.Task[None]]()

    async def warm_up(self) -> None:
        """Load what the first question needs, before it is urgent."""
        try:
            if self._arbiter is not None:
                await self._arbiter.warm_up()
        except (ArbiterUnanswered, ArbiterRefused, AwsError) as error:
            _log.warning("the arbiter can't be used yet: %s", error)
        finally:
            self._warm.set()

    def use(self, config: Config) -> None:
        """A reload changed which addresses are probed; the rest needs a restart."""
        self._config = config

    def ask_arbiter(self, question: AskArbiter) -> None:
        """`ArbiterAnswered(question.request)` comes back."""
        assert self._arbiter is not None, question
        self._begin(self._ask(self._arbiter, question), f"arbiter {question.request}")

    def probe(self) -> None:
        """`OutsideProbed` comes back."""
        self._begin(self._probe(self._config.isolation_check), "isolation check")

    def fence(self, node: NodeId) -> None:
        """`FencingEnded(node)` comes back."""
        self._begin(self._fence(node), f"fence {node}")

    async def close(self) -> None:
        """Ask nothing more, and let go of threads and connections."""
        for task in self._tasks:
            task.cancel()
        if self._arbiter is not None:
            self._arbiter.close()
        self._aws.close()

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # a defect of ours: the loop's handler tells it

    async def _ask(self, arbiter: Arbiter, question: AskArbiter) -> None:
        await self._warm.wait()
        outcome, record, version, why = await _answer(arbiter, question)
        held = None if record is None else _core_record(record)
        self._feed(ArbiterAnswered(self._clock_ms(), question.request, outcome, held, version, why))

    async def _probe(self, addresses: tuple[HostPort, ...]) -> None:
        answers = await asyncio.gather(*(reaches(each) for each in addresses))
        self._feed(OutsideProbed(self._clock_ms(), sum(answers), len(answers)))

    async def _fence(self, node: NodeId) -> None:
        try:
            fenced, text = True, str(await self._levels.fence(node))
        except NotFenced as error:
            fenced, text = False, str(error)
        self._feed(FencingEnded(self._clock_ms(), node, fenced, text))


async def reaches(address: HostPort) -> bool:
    """Does a TCP connection to it come about within PROBE_LIMIT_S?"""
    try:
        async with asyncio.timeout(PROBE_LIMIT_S):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except OSError:  # TimeoutError is one
        return False
    writer.transport.abort()
    return True


async def _answer(
    arbiter: Arbiter, question: AskArbiter
) -> tuple[ArbiterOutcome, Record | None, Version | None, str]:
    try:
        if question.write is None:
            held = await arbiter.read(question.hierarchy)
            return ArbiterOutcome.OK, *(held or (None, None)), ""
        record = Record(
            register=question.write.register,
            voted_for=question.write.candidate,
            term=question.write.term,
            nonce=secrets.token_hex(8),
        )
        expected = Version(question.expected) if question.expected is not None else None
        return ArbiterOutcome.OK, record, await arbiter.write(question.hierarchy, record, expected), ""
    except Conflict as conflict:
        return ArbiterOutcome.CONFLICT, conflict.record, conflict.version, str(conflict)
    except ArbiterUnanswered as error:
        return ArbiterOutcome.UNANSWERED, None, None, str(error)
    except ArbiterRefused as error:
        return ArbiterOutcome.REFUSED, None, None, str(error)


def _core_record(record: Record) -> ArbiterRecord:
    return ArbiterRecord(register=record.register, term=record.term, candidate=record.voted_for)


def _open_arbiter(config: Config) -> Arbiter | None:
    if config.arbiter is None:
        return None
    return open_arbiter(
        config.arbiter,
        config.cluster.name,
        region=config.aws.region,
        dead_after_ms=config.cluster.heartbeat.dead_after_ms,
        precede=precede,
    )
