"""The cluster key: a small file that every node has, and the keys derived from it.

The file holds one or two lines of 64 hex digits (32 bytes). The first line's key seals what this node
says; every line's key opens what it hears. To rotate without a silence: `add` a new key and copy the
file to every node, then `promote` it on every node, then `drop_old` on every node. Running agents take
each step over by themselves, and refuse one that a peer they hear couldn't follow.

Invariants: no key leaves this module except as input to a cipher, or in the file; what kits get is derived
for them and leads back to no key; nothing secret is in a repr, in an error or in a log; each derived key
serves one purpose and one context, never two; the file is replaced whole or not at all.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.core.ids import NodeId

KEY_BYTES = 32
KEY_ID_BYTES = 4
MAX_KEYS = 2  # the one in use, and the one before or after it
MAX_FILE_BYTES = 1_024
_MODES = (0o400, 0o600)


class KeyFileError(Exception):
    """The key file can't be used or made; the text says why and what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem


class Keyring:
    """One or two cluster keys. The first seals; all of them open. May become another one while in use."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        assert 1 <= len(keys) <= MAX_KEYS, len(keys)
        assert all(len(key) == KEY_BYTES for key in keys), "a cluster key is 32 bytes"
        self._keys = {_derive(key, KEY_ID_BYTES, b"key id"): key for key in keys}
        assert len(self._keys) == len(keys), "the keys must differ"

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._keys)}>"

    def __str__(self) -> str:
        """By ids, for people: "seals with 1a2b3c4d, opens 5e6f7a8b too"."""
        first, *others = (key_id.hex() for key_id in self._keys)
        return ", ".join((f"seals with {first}", *(f"opens {other} too" for other in others)))

    def __contains__(self, key_id: bytes) -> bool:
        return key_id in self._keys

    @property
    def ids(self) -> tuple[bytes, ...]:
        """Of all keys, KEY_ID_BYTES each; the first seals. Ids aren't secret: every frame names one."""
        return tuple(self._keys)

    @property
    def newest(self) -> bytes:
        """The id of the key that seals."""
        return next(iter(self._keys))

    def become(self, other: Keyring) -> None:
        """Hold the other's keys from now on, for everybody who holds this ring."""
        self._keys = other._keys

    def cipher(self, key_id: bytes, purpose: bytes, *context: bytes) -> ChaCha20Poly1305:
        """The cipher for one purpose and context (sender, incarnation, …); KeyError for an unknown id."""
        return ChaCha20Poly1305(_derive(self._keys[key_id], KEY_BYTES, purpose, *context))

    def secrets(self, purpose: str) -> tuple[bytes, ...]:
        """32 bytes for a kit's purpose from each key, the one that seals first: the same on all nodes."""
        return tuple(_derive(key, KEY_BYTES, b"kit", purpose.encode()) for key in self._keys.values())


def load(path: Path) -> Keyring:
    """Read the key file, once it is certain that only its owner can; KeyFileError otherwise."""
    return Keyring(_read(path))


def objections(new: Keyring, old: Keyring, peers: Mapping[NodeId, Sequence[bytes]]) -> list[str]:
    """Why `new` can't follow `old` without cutting a peer off; `peers` are the key ids of those heard."""
    if set(new.ids).isdisjoint(old.ids):
        return ["it holds none of the keys in force, so no peer could follow; begin with `kage keygen --add`"]
    reasons = []
    for peer, its_ids in peers.items():
        if new.newest not in its_ids:
            reasons.append(f"{peer} doesn't hold key {new.newest.hex()} yet: copy both keys there first")
        if its_ids[0] not in new:
            reasons.append(
                f"{peer} still seals with key {its_ids[0].hex()}: run `kage keygen --promote` there"
            )
    return reasons


def add(path: Path) -> Keyring:
    """Put a fresh second key into the file, which opens and doesn't seal yet; KeyFileError if it can't be."""
    keys = _read(path)
    if len(keys) == MAX_KEYS:
        raise KeyFileError(path, "holds two keys already; finish with --promote and --drop-old first")
    return _replace(path, [*keys, secrets.token_bytes(KEY_BYTES)])


def promote(path: Path) -> Keyring:
    """Let the two keys change places: the second seals from now on; KeyFileError if it can't be."""
    first, second = _read_two(path)
    return _replace(path, [second, first])


def drop_old(path: Path) -> Keyring:
    """Take the second key out of the file: what it sealed opens no more; KeyFileError if it can't be."""
    first, _ = _read_two(path)
    return _replace(path, [first])


def _read_two(path: Path) -> list[bytes]:
    keys = _read(path)
    if len(keys) < MAX_KEYS:
        raise KeyFileError(path, "holds one key; put a second one into it with --add first")
    return keys


def _replace(path: Path, keys: Sequence[bytes]) -> Keyring:
    """Write these keys in the place of the file, in one step; a link to it stays a link."""
    target = path.resolve()
    text = b"".join(key.hex().encode() + b"\n" for key in keys)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        new = Path(name)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                file.write(text)
                file.flush()
                os.fchmod(descriptor, 0o400)
                os.fsync(descriptor)
            new.replace(target)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        _sync_directory(target.parent)
    except OSError as exc:
        raise KeyFileError(path, f"can't be replaced: {exc.strerror}") from exc
    return Keyring(keys)


def _sync_directory(directory: Path) -> None:
    """After a power cut the file's name still leads to what was written last."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> list[bytes]:
    """The keys in the file; KeyFileError if there are none to be had, or others could read them too."""
    try:
        # O_NONBLOCK: a named pipe in its place must not hang the agent.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as exc:
        raise KeyFileError(
            path, "no such file; make it with `kage keygen` on one node, copy it to the others"
        ) from exc
    except OSError as exc:
        raise KeyFileError(path, f"can't be opened: {exc.strerror}") from exc
    try:
        _check_owner(path, os.fstat(descriptor))
        text = os.read(descriptor, MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise KeyFileError(path, f"can't be read: {exc.strerror}") from exc
    finally:
        os.close(descriptor)
    return _parse(path, text)


def generate(path: Path) -> Keyring:
    """Write a fresh random key to a new file of mode 0400; KeyFileError if anything is there already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    except FileExistsError as exc:
        raise KeyFileError(
            path, "exists already and is never overwritten; move it away first to make another"
        ) from exc
    except FileNotFoundError as exc:
        raise KeyFileError(path, f"no such directory; mkdir -p {path.parent}") from exc
    except OSError as exc:
        raise KeyFileError(path, f"can't be created: {exc.strerror}") from exc
    key = secrets.token_bytes(KEY_BYTES)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(key.hex().encode() + b"\n")
            file.flush()
            os.fsync(descriptor)
    except OSError as exc:
        with contextlib.suppress(OSError):  # half a key would only be refused later, with less said
            path.unlink()
        raise KeyFileError(path, f"can't be written: {exc.strerror}") from exc
    return Keyring([key])


def _check_owner(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(path, "is not a regular file")
    if status.st_uid != os.geteuid():
        raise KeyFileError(
            path,
            f"belongs to uid {status.st_uid} and the agent runs as uid {os.geteuid()}; use chown",
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode not in _MODES:
        raise KeyFileError(path, f"has mode {mode:04o}; run `chmod 0400 {path}`")


def _parse(path: Path, text: bytes) -> list[bytes]:
    if len(text) > MAX_FILE_BYTES:
        raise KeyFileError(path, f"is longer than {MAX_FILE_BYTES} bytes: not a key file")
    lines = text.split()
    if not 1 <= len(lines) <= MAX_KEYS:
        raise KeyFileError(path, f"holds {len(lines)} keys; it must hold one, or two while keys are rotated")
    keys = []
    for number, line in enumerate(lines, start=1):
        try:
            key = binascii.unhexlify(line)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise KeyFileError(path, f"key {number} is not {2 * KEY_BYTES} hex digits")
        keys.append(key)
    if len(set(keys)) != len(keys):
        raise KeyFileError(path, "holds the same key twice; remove one")
    return keys


def _derive(key: bytes, length: int, purpose: bytes, *context: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869). Each part goes in with its length: no two contexts look the same."""
    parts = (b"kagemusha 1", purpose, *context)
    info = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(key)
