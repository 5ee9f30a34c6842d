"""What a session has done beside its calls: credentials renewed, a new interface found."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from agent.aws import AwsSession
from agent.aws import credentials as credentials_module
from agent.aws import session as session_module
from agent.aws import upkeep as upkeep_module
from tests.aws_server import REGION, AwsServer, MetadataServer

LIMIT_S = 20.0


@pytest.fixture
def session(
    aws_server: AwsServer, imds: MetadataServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AwsSession]:
    """One whose credentials come from IMDS, are always due, and that looks fifty times a second."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setattr(upkeep_module, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(credentials_module, "RENEW_BEFORE_S", 10 * 365 * 86_400)
    issue(imds, "ASIA1")
    with closing(AwsSession(REGION)) as session:
        yield session


def issue(imds: MetadataServer, key: str) -> None:
    secret = {"AccessKeyId": key, "SecretAccessKey": "hush", "Token": "hush"}
    life = {"Code": "Success", "Type": "AWS-HMAC", "Expiration": "2030-01-01T00:00:00Z"}
    imds.profile = replace(imds.profile, credentials=secret | life)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)


async def calls_until_signed_by(session: AwsSession, aws_server: AwsServer, key: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            await session.ec2("describe_vpcs")
            if aws_server.control.journal()[-1].key == key:
                return
            await asyncio.sleep(0.02)


def test_credentials_are_renewed_while_nobody_calls_and_calls_take_the_new_ones(
    runner: asyncio.Runner, aws_server: AwsServer, imds: MetadataServer, session: AwsSession
) -> None:
    async def scene() -> None:
        await session.ec2("describe_vpcs")
        assert aws_server.control.journal()[-1].key == "ASIA1"
        issue(imds, "ASIA2")
        asked = imds.requests
        await until(lambda: imds.requests > asked + 6)
        await calls_until_signed_by(session, aws_server, "ASIA2")

    runner.run(scene())


def test_while_imds_is_away_the_old_ones_serve_and_it_is_told_once(
    runner: asyncio.Runner,
    aws_server: AwsServer,
    imds: MetadataServer,
    session: AwsSession,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "agent.aws")

    async def scene() -> None:
        await session.ec2("describe_vpcs")
        imds.down = True
        asked = imds.requests
        await until(lambda: imds.requests > asked + 5)
        await session.ec2("describe_vpcs")
        assert aws_server.control.journal()[-1].key == "ASIA1"
        issue(imds, "ASIA2")
        imds.down = False
        await calls_until_signed_by(session, aws_server, "ASIA2")

    runner.run(scene())
    told = [record.getMessage() for record in caplog.records if record.name == "agent.aws.upkeep"]
    assert len(told) == 1
    assert "credentials of this node can't be renewed, and serve until they end" in told[0]
    assert "hush" not in caplog.text


def test_an_interface_that_is_attached_is_found_without_a_restart(
    runner: asyncio.Runner,
    imds: MetadataServer,
    session: AwsSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And also where IMDS hears of it later than the kernel."""
    links = frozenset({"00:00:00:00:00:00"})
    monkeypatch.setattr(session_module, "links", lambda: links)

    async def scene() -> None:
        nonlocal links
        await session.warm_up()
        first = await session.identity()
        links |= {"02:00:00:00:00:0c"}
        await until(lambda: session._machine is not first)
        imds.profile = replace(
            imds.profile, interfaces={**imds.profile.interfaces, "02:00:00:00:00:0c": "eni-0c"}
        )
        await until(lambda: "eni-0c" in (session._machine or first).interfaces.values())

    runner.run(scene())


def test_as_long_as_no_link_changes_this_machine_is_read_once(
    runner: asyncio.Runner, aws_server: AwsServer, imds: MetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def links() -> frozenset[str]:
        nonlocal looks
        looks += 1
        return frozenset({"00:00:00:00:00:00"})

    monkeypatch.setattr(upkeep_module, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(session_module, "links", links)

    async def scene(session: AwsSession) -> None:
        await session.warm_up()
        asked, called = imds.requests, len(aws_server.control.journal())
        await until(lambda: looks > 20)
        assert (imds.requests, len(aws_server.control.journal())) == (asked, called)

    with closing(AwsSession(REGION)) as session:
        runner.run(scene(session))


def test_it_ends_with_its_session(runner: asyncio.Runner, imds: MetadataServer, session: AwsSession) -> None:
    async def scene() -> None:
        await session.load("ec2")
        session.close()
        await asyncio.sleep(0)
        await until(lambda: "aws upkeep" not in {task.get_name() for task in asyncio.all_tasks()})

    runner.run(scene())
