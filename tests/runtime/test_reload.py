"""A changed configuration is taken over or refused with reasons, however the file is written."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from agent.comm.keys import KEY_BYTES, Keyring
from agent.config import load
from agent.config.model import Config
from agent.config.resources import Kits
from agent.core.messages import TakeOutOfService
from agent.runtime import configwatch
from agent.runtime import reload as module
from agent.runtime.configwatch import ConfigWatch
from agent.runtime.reload import Reloader
from tests.runtime.inside import KEY, NAME, make_agent, running, told, write_config
from tests.runtime.waiting import on_loop, until

WEB = """
[hierarchy.app.resource.web]
kit = "generic"
id = "y"
depends_on = ["db"]
restore = "/bin/true"
remove = "/bin/true"
"""


@on_loop
async def test_a_good_change_is_in_force_at_once_and_told(tmp_path: Path) -> None:
    agent = make_agent(tmp_path)
    reloader, port = Reloader(agent), agent.config.paths[0].port
    async with running(agent):
        await until(lambda: told(agent, "in-service"))
        assert (await reloader.reload()).text == f"nothing changed ({agent.config.digest})"
        loaded_time, digest = reloader.loaded_time, agent.config.digest
        write_config(tmp_path, port=port, more=WEB)
        result = await reloader.reload()
        assert result.accepted, result.text
        assert agent.config.digest in result.text
        assert digest not in result.text
        assert WEB in agent.config.text
        assert reloader.loaded_time > loaded_time
        assert told(agent, "config-loaded")
        assert agent.node is not None
        assert [each.tag for each in agent.node.state.cluster.hierarchies[0].resources] == ["db", "web"]
        await until(lambda: agent.node and agent.node.mind.machines[NAME].all_active)


@on_loop
async def test_a_wrong_file_is_refused_with_all_problems_and_the_old_one_stays(tmp_path: Path) -> None:
    agent = make_agent(tmp_path)
    before, reloader, port = agent.config, Reloader(agent), agent.config.paths[0].port
    async with running(agent):
        path = write_config(tmp_path, port=port, more='colour = "red"\n[hierarchies.x]\n')
        result = await reloader.reload()
        assert not result.accepted
        assert "colour" in result.text
        assert "hierarchies" in result.text
        assert f"{path}:" in result.text
        assert agent.config is before
        (refused,) = told(agent, "config-refused")
        assert refused.notice.text == f"the one before stays: {result.text}"
        for broken in (b"", b"[", b"\xff\xfe"):
            path.write_bytes(broken)
            assert not (await reloader.reload()).accepted
        path.unlink()
        assert "isn't there" in (await reloader.reload()).text
        assert agent.config is before
        write_config(tmp_path, port=port)
        assert (await reloader.reload()).text.startswith("nothing changed")


@on_loop
async def test_a_dangerous_change_is_refused_until_it_is_safe(tmp_path: Path) -> None:
    agent = make_agent(tmp_path)
    before, reloader, port = agent.config, Reloader(agent), agent.config.paths[0].port
    async with running(agent):
        await until(lambda: told(agent, "in-service"))
        write_config(tmp_path, port=port, more='info = "other"\n')
        result = await reloader.reload()
        assert not result.accepted
        assert "db is in service, and its parameters changed on a" in result.text
        assert agent.config is before
        assert (await agent.command(TakeOutOfService(hierarchy=NAME))).accepted
        await until(lambda: told(agent, "out-of-service"))
        assert (await reloader.reload()).accepted
        write_config(tmp_path, port=port, grace="1s", more='info = "other"\n')
        text = (tmp_path / "cluster.toml").read_text()
        (tmp_path / "cluster.toml").write_text(
            text.replace('"inside"', '"outside"').replace('"50ms"', '"60ms"')
        )
        result = await reloader.reload()
        assert "cluster.name changed" in result.text
        assert "heartbeat" in result.text


@on_loop
async def test_a_disk_that_hangs_refuses_the_reload_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, back = make_agent(tmp_path), threading.Event()
    monkeypatch.setattr(module, "READ_LIMIT_S", 0.05)
    reloader = Reloader(agent)

    def hang(path: Path, known: Kits) -> Config:
        back.wait(30)
        return load(path, known)

    monkeypatch.setattr(module, "load", hang)
    async with running(agent):
        assert "the disk didn't answer within 0.05 s" in (await reloader.reload()).text
        await reloader.changed()
        back.set()
        await until(lambda: not reloader._disk.under_way)
        assert (await reloader.reload()).accepted


@on_loop
async def test_a_file_that_says_the_same_is_no_reload(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent = make_agent(tmp_path)
    reloader, port = Reloader(agent), agent.config.paths[0].port
    async with running(agent):
        await reloader.changed()
        assert not told(agent, "config-loaded")
        write_config(tmp_path, port=port, more=WEB)
        await reloader.changed()
        assert len(told(agent, "config-loaded")) == 1
        (tmp_path / "cluster.toml").unlink()
        await reloader.changed()
        assert "can't be read: No such file" in caplog.text
        assert not told(agent, "config-refused"), "a file that is away for a moment is nobody's mistake"


# The key file


def write_keys(home: Path, *keys: bytes) -> None:
    new = home / "new.key"
    new.write_text("".join(key.hex() + "\n" for key in keys))
    new.chmod(0o400)
    new.replace(home / "cluster.key")


@on_loop
async def test_a_changed_key_file_is_in_force_at_once_and_told_by_ids(tmp_path: Path) -> None:
    agent = make_agent(tmp_path)
    reloader, new = Reloader(agent), b"\x02" * KEY_BYTES
    async with running(agent):
        for keys in ((KEY, new), (new, KEY), (new,)):
            write_keys(tmp_path, *keys)
            await reloader.changed()
            assert agent.comm.key_ids == Keyring(keys).ids
        assert [each.notice.text for each in told(agent, "config-loaded")] == [
            f"keys in force now: {Keyring(keys)}" for keys in ((KEY, new), (new, KEY), (new,))
        ]
        await reloader.changed()
        assert len(told(agent, "config-loaded")) == 3, "what says the same is no reload"


@on_loop
async def test_a_wrong_key_file_is_refused_without_being_quoted_and_the_old_keys_stay(tmp_path: Path) -> None:
    agent = make_agent(tmp_path)
    reloader, before, path = Reloader(agent), agent.comm.key_ids, tmp_path / "cluster.key"
    async with running(agent):
        write_keys(tmp_path, KEY, KEY)
        assert "the same key twice" in (await reloader.reload()).text
        write_keys(tmp_path, b"\x02" * KEY_BYTES)
        assert "none of the keys in force" in (await reloader.reload()).text
        path.chmod(0o644)
        assert f"chmod 0400 {path}" in (await reloader.reload()).text
        path.unlink()
        result = await reloader.reload()
        assert not result.accepted
        assert "no such file" in result.text
        assert result.text.startswith("nothing changed"), "the configuration is another matter"
        assert agent.comm.key_ids == before
        refused = told(agent, "config-refused")
        assert len(refused) == 4
        assert all(each.notice.text.startswith("the keys before stay: ") for each in refused)
        assert not any("0202" in each.notice.text for each in refused)
        write_keys(tmp_path, KEY)
        assert (await reloader.reload()).accepted


# The watch


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def renamed_over(path: Path, text: str) -> None:
    beside = path.with_name(".cluster.toml.swp")
    beside.write_text(text)
    beside.replace(path)


def away_for_a_moment(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def renamed_with_backup(path: Path, text: str) -> None:
    path.rename(f"{path}~")
    path.write_text(text)


WAYS: list[Callable[[Path, str], None]] = [in_place, renamed_over, away_for_a_moment, renamed_with_backup]


class Watched:
    """A watch, and how often it called."""

    def __init__(self, path: Path) -> None:
        self.calls = 0
        self.watch = ConfigWatch(path, self._called)

    def _called(self) -> None:
        self.calls += 1

    async def until_called(self) -> None:
        await until(lambda: self.calls)
        self.calls = 0


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configwatch, "QUIET_S", 0.02)


@pytest.mark.parametrize("way", WAYS)
@on_loop
async def test_a_written_file_is_noticed_each_time(tmp_path: Path, way: Callable[[Path, str], None]) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text("0")
    watched = Watched(path)
    with watched.watch:
        for round_ in range(3):
            way(path, f"{round_} and more")
            await watched.until_called()
            assert path.read_text() == f"{round_} and more"


@on_loop
async def test_a_directory_that_is_switched_by_its_link_is_noticed(tmp_path: Path) -> None:
    """As a mounted ConfigMap does: cluster.toml -> ..data/cluster.toml, ..data -> a new directory."""
    home = tmp_path / "etc"
    home.mkdir()

    def switch(number: int) -> None:
        new = home / f"..{number}"
        new.mkdir()
        (new / "cluster.toml").write_text(f"{number}")
        (home / "..new").symlink_to(new.name)
        (home / "..new").replace(home / "..data")

    switch(0)
    (home / "cluster.toml").symlink_to("..data/cluster.toml")
    watched = Watched(home / "cluster.toml")
    with watched.watch:
        for number in range(1, 4):
            switch(number)
            await watched.until_called()
            in_place(home / f"..{number}" / "cluster.toml", "written behind the link")
            await watched.until_called()


@on_loop
async def test_a_link_to_a_file_elsewhere_is_followed(tmp_path: Path) -> None:
    for name in ("etc", "one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "real.toml").write_text(name)
    path = tmp_path / "etc" / "cluster.toml"
    path.symlink_to("../one/real.toml")
    (tmp_path / "link").symlink_to("etc")
    watched = Watched(tmp_path / "link" / "cluster.toml")
    with watched.watch:
        in_place(tmp_path / "one" / "real.toml", "other")
        await watched.until_called()
        (tmp_path / "etc" / "new").symlink_to("../two/real.toml")
        (tmp_path / "etc" / "new").replace(path)
        await watched.until_called()
        renamed_over(tmp_path / "two" / "real.toml", "third")
        await watched.until_called()
        in_place(tmp_path / "one" / "cluster.toml", "a whole other directory")
        (tmp_path / "link.new").symlink_to("one")
        (tmp_path / "link.new").replace(tmp_path / "link")
        await watched.until_called()


@on_loop
async def test_what_happens_beside_the_file_is_no_change(tmp_path: Path) -> None:
    path, other = tmp_path / "cluster.toml", tmp_path / "other"
    path.write_text("0")
    watched = Watched(path)
    with watched.watch:
        for round_ in range(20):
            other.write_text(f"{round_}")
            path.read_text()
        path.write_text("1")
        await watched.until_called()


@pytest.mark.parametrize("touch", [os.utime, partial(os.chmod, mode=0o400)])
@on_loop
async def test_a_file_whose_times_or_mode_alone_changed_is_worth_a_look(
    tmp_path: Path, touch: Callable[[Path], None]
) -> None:
    """A key file that was refused because others may read it is mended by chmod alone."""
    path = tmp_path / "cluster.key"
    path.write_text("0")
    watched = Watched(path)
    with watched.watch:
        touch(path)
        await watched.until_called()


@on_loop
async def test_noise_beside_the_file_does_not_put_the_notice_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configwatch, "QUIET_S", 0.2)
    path, other, stop = tmp_path / "cluster.toml", tmp_path / "other", threading.Event()
    path.write_text("0")

    def make_noise() -> None:
        while not stop.is_set():
            other.write_text("noise")

    noise = threading.Thread(target=make_noise)
    watched = Watched(path)
    with watched.watch:
        noise.start()
        try:
            path.write_text("1")
            await watched.until_called()
        finally:
            stop.set()
            noise.join()


@on_loop
async def test_leaving_ends_its_threads_and_its_timer(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text("0")
    before = threading.active_count()
    watched = Watched(path)
    with watched.watch:
        path.write_text("1")
    await until(lambda: threading.active_count() == before)
    assert watched.calls == 0
