"""The key file: who may read it, what it may hold, and what never shows."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.comm.keys import (
    KEY_BYTES,
    KeyFileError,
    Keyring,
    add,
    drop_old,
    generate,
    load,
    objections,
    promote,
)
from tests.comm.world import A, C

OLD, NEW = b"\x01" * KEY_BYTES, b"\x02" * KEY_BYTES


def key_file(path: Path, text: str, mode: int = 0o400) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_generated_file_is_private_random_and_usable(tmp_path: Path) -> None:
    first, second = tmp_path / "first.key", tmp_path / "second.key"
    generate(first)
    generate(second)
    assert first.stat().st_mode & 0o777 == 0o400
    assert first.read_bytes() != second.read_bytes()
    assert load(first).newest != load(second).newest
    assert load(first).newest == load(first).newest


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "cluster.key"
    generate(path)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="never overwritten"):
        generate(path)
    assert path.read_bytes() == before


def test_a_key_is_not_written_through_a_link(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(KeyFileError, match="never overwritten"):
        generate(tmp_path / "link")
    assert not target.exists()


def test_a_key_in_a_folder_that_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="no such directory; mkdir -p"):
        generate(tmp_path / "nowhere" / "cluster.key")


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_file_only_its_owner_can_read_is_accepted(tmp_path: Path, mode: int) -> None:
    assert load(key_file(tmp_path / "k", OLD.hex(), mode)).newest == Keyring([OLD]).newest


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o644, 0o620, 0o700, 0o4400])
def test_a_wider_mode_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyFileError, match=r"chmod 0400 .*/k`"):
        load(key_file(tmp_path / "k", OLD.hex(), mode))


def test_another_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = key_file(tmp_path / "k", OLD.hex())
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(KeyFileError, match=f"belongs to uid {owner}"):
        load(path)


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="kage keygen"):
        load(tmp_path / "k")


def test_what_is_not_a_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o400)
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(KeyFileError, match="not a regular file"):
            load(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds 0 keys"),
        ("\n\n", "holds 0 keys"),
        (OLD.hex()[:-2], "key 1 is not 64 hex digits"),
        (OLD.hex() + "00", "key 1 is not 64 hex digits"),
        (OLD.hex()[:-1], "key 1 is not 64 hex digits"),
        (f"{OLD.hex()}\n{'z' * 64}", "key 2 is not 64 hex digits"),
        (f"{OLD.hex()}\n{OLD.hex()}", "same key twice"),
        (f"{OLD.hex()}\n{NEW.hex()}\n{'03' * 32}", "holds 3 keys"),
        ("x" * 5_000, "longer than"),
    ],
)
def test_what_is_not_a_key_is_refused_without_being_quoted(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(KeyFileError, match=says) as caught:
        load(key_file(tmp_path / "k", text))
    assert OLD.hex()[:8] not in str(caught.value)


def test_the_first_of_two_keys_seals_and_both_open(tmp_path: Path) -> None:
    ring = load(key_file(tmp_path / "k", f"{NEW.hex()}\n{OLD.hex()}\n"))
    assert ring.newest == Keyring([NEW]).newest
    assert ring.newest in ring
    assert Keyring([OLD]).newest in ring
    assert Keyring([b"\x03" * KEY_BYTES]).newest not in ring


def test_nothing_secret_shows() -> None:
    ring = Keyring([OLD, NEW])
    assert repr(ring) == "<Keyring of 2>"
    assert str(ring) == f"seals with {ring.ids[0].hex()}, opens {ring.ids[1].hex()} too"
    assert OLD.hex()[:8] not in str(ring)


# Rotation


def test_a_rotation_goes_from_one_key_to_another_with_both_open_in_between(tmp_path: Path) -> None:
    path = tmp_path / "cluster.key"
    old = generate(path).newest
    first, new = add(path).ids
    assert (first, load(path).ids) == (old, (old, new))
    assert promote(path).ids == load(path).ids == (new, old)
    assert drop_old(path).ids == load(path).ids == (new,)
    assert path.stat().st_mode & 0o777 == 0o400
    assert [each.name for each in tmp_path.iterdir()] == ["cluster.key"], "no copy of a key is left behind"


@pytest.mark.parametrize(
    ("step", "held", "says"),
    [(add, 2, "holds two keys already"), (promote, 1, "holds one key"), (drop_old, 1, "holds one key")],
)
def test_a_step_out_of_turn_is_refused_and_changes_nothing(
    tmp_path: Path, step: Callable[[Path], Keyring], held: int, says: str
) -> None:
    path = key_file(tmp_path / "k", "\n".join((OLD.hex(), NEW.hex())[:held]))
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match=says):
        step(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("step", [add, promote, drop_old])
def test_a_file_that_others_can_read_is_not_rotated(tmp_path: Path, step: Callable[[Path], Keyring]) -> None:
    with pytest.raises(KeyFileError, match="chmod 0400"):
        step(key_file(tmp_path / "k", f"{OLD.hex()}\n{NEW.hex()}", 0o644))


def test_a_step_that_can_not_be_written_leaves_the_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = key_file(tmp_path / "k", f"{OLD.hex()}\n{NEW.hex()}\n")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match="can't be replaced: No space left"):
        promote(path)
    assert path.read_text() == f"{OLD.hex()}\n{NEW.hex()}\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_the_key_file_stays_a_link(tmp_path: Path) -> None:
    path, link = key_file(tmp_path / "k", OLD.hex()), tmp_path / "link"
    link.symlink_to(path)
    assert add(link).ids == load(path).ids
    assert link.is_symlink()


def test_keys_that_a_peer_could_not_follow_are_objected_to() -> None:
    old, both, promoted, new = (Keyring(keys) for keys in ([OLD], [OLD, NEW], [NEW, OLD], [NEW]))
    assert objections(both, old, {A: old.ids}) == []
    assert objections(promoted, both, {A: both.ids, C: promoted.ids}) == []
    assert objections(new, promoted, {A: new.ids, C: promoted.ids}) == []
    assert objections(old, both, {A: both.ids}) == [], "given up before anybody sealed with the new one"
    (reason,) = objections(promoted, both, {A: old.ids, C: both.ids})
    assert reason.startswith(f"{A} doesn't hold key {new.newest.hex()} yet")
    (reason,) = objections(new, promoted, {A: both.ids, C: promoted.ids})
    assert reason.startswith(f"{A} still seals with key {old.newest.hex()}")
    (reason,) = objections(new, old, {})
    assert "none of the keys in force" in reason


def test_no_two_purposes_or_contexts_share_a_key() -> None:
    ring, nonce = Keyring([OLD]), bytes(12)
    contexts: list[tuple[bytes, ...]] = [
        (b"heartbeat", b"ab", b"c"),
        (b"heartbeat", b"a", b"bc"),
        (b"heartbeat", b"abc"),
        (b"heartbeat", b"ab", b"c", b""),
        (b"heartbeatab", b"c"),
        (b"letter", b"ab", b"c"),
    ]
    sealed = [ring.cipher(ring.newest, *context).encrypt(nonce, b"", None) for context in contexts]
    assert len(set(sealed)) == len(sealed)
