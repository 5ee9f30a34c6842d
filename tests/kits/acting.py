"""How the AWS kits' tests act: as an agent does, with one event loop and one session."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import pytest

from agent.aws import AwsSession, Machine
from agent.aws.bucket import Rate
from recovery_kits.contract import Ec2
from tests.aws_server import REGION, AwsServer

T = TypeVar("T")
NO_LIMIT = Rate(burst=1_000_000, per_s=1_000_000.0)
CALL = 2  # how often one call asks for authority: before it connects, and when its body is to go out


async def no_command(*argv: str, env: object = None, log: object = None) -> NoReturn:
    """The kit runs no commands."""
    raise AssertionError(argv)


class Agent:
    """An event loop and an AWS session, as an agent has one of each; close it.

    Many tests share one, so that its own limit on calls a second would only slow them down.
    """

    def __init__(self, read_timeout_ms: int = 2_000) -> None:
        self.runner = asyncio.Runner()
        self.aws = AwsSession(REGION, read_timeout_ms=read_timeout_ms, reads=NO_LIMIT, changes=NO_LIMIT)

    def run(self, action: Coroutine[Any, Any, T]) -> T:
        """Run an action to its end."""
        return self.runner.run(action)

    async def until_idle(self, within_s: float = 30.0) -> None:
        """Return when no thread is at work any more, for callers that have given up either."""
        async with asyncio.timeout(within_s):
            while self.aws.under_way:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)

    def close(self) -> None:
        """End the loop and the session."""
        self.aws.close()
        self.runner.close()


@dataclass
class Known:
    """An AWS session of a machine that needn't ask who it is."""

    session: AwsSession
    machine: Machine

    @property
    def ec2(self) -> Ec2:
        return self.session.ec2

    async def call(self, service: Any, operation: str, **parameters: Any) -> dict[str, Any]:
        return await self.session.call(service, operation, **parameters)

    async def identity(self) -> Machine:
        return self.machine

    async def refresh_identity(self) -> Machine:
        return self.machine


class Brief:
    """An authority that is over once it has been asked `times` times; it may freeze its node there.

    A node that is `frozen` has had its last yes: it goes on with that when it is thawed.
    """

    def __init__(self, times: int, *, frozen: bool = False) -> None:
        self._times, self._asked = times, itertools.count(1)
        self.thawed = threading.Event()
        if not frozen:
            self.thawed.set()

    def ms_left(self) -> int:
        asked = next(self._asked)
        if asked == self._times:
            self.thawed.wait(60)
        return 1_000 if asked <= self._times else 0


@pytest.fixture(scope="session")
def agents() -> Iterator[Callable[[int], Agent]]:
    """One agent for each read time-out: making an EC2 client takes longer than a test."""
    made: dict[int, Agent] = {}
    yield lambda read_timeout_ms: made.setdefault(read_timeout_ms, Agent(read_timeout_ms))
    for agent in made.values():
        agent.close()


@pytest.fixture
def read_timeout_ms() -> int:
    """How long calls wait; a module may say otherwise."""
    return 2_000


@pytest.fixture
def agent(aws_server: AwsServer, agents: Callable[[int], Agent], read_timeout_ms: int) -> Agent:
    """The agent that all nodes of a test act through, done with whatever an earlier test gave up."""
    agent = agents(read_timeout_ms)
    agent.run(agent.until_idle())
    return agent


@pytest.fixture
def hasty(agents: Callable[[int], Agent]) -> Agent:
    """One that may well give up too soon: for what nobody answers anyway."""
    return agents(100)
