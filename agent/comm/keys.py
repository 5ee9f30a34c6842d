"""The cluster key: a small file that every node has, and the keys derived from it.

The file holds one or two lines of 64 hex digits (32 bytes). The first line's key seals what this node
says; every line's key opens what it hears. To rotate without a silence: append the new key on every
node, then put it first on every node, then take the old one away; restart the agents (services go on)
after each of the three.

Invariants: no key leaves this module except as input to a cipher; nothing secret is in a repr, in an
error or in a log; each derived key serves one purpose and one context, never two.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

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
    """One or two cluster keys. The first seals; all of them open."""

    __slots__ = ("_keys", "newest")

    def __init__(self, keys: Sequence[bytes]) -> None:
        assert 1 <= len(keys) <= MAX_KEYS, len(keys)
        assert all(len(key) == KEY_BYTES for key in keys), "a cluster key is 32 bytes"
        self._keys = {_derive(key, KEY_ID_BYTES, b"key id"): key for key in keys}
        assert len(self._keys) == len(keys), "the keys must differ"
        self.newest = next(iter(self._keys))  # id of the key that seals

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._keys)}>"

    def __contains__(self, key_id: bytes) -> bool:
        return key_id in self._keys

    def cipher(self, key_id: bytes, purpose: bytes, *context: bytes) -> ChaCha20Poly1305:
        """The cipher for one purpose and context (sender, incarnation, …); KeyError for an unknown id."""
        return ChaCha20Poly1305(_derive(self._keys[key_id], KEY_BYTES, purpose, *context))


def load(path: Path) -> Keyring:
    """Read the key file, once it is certain that only its owner can; KeyFileError otherwise."""
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
    return Keyring(_parse(path, text))


def generate(path: Path) -> None:
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
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(secrets.token_hex(KEY_BYTES).encode() + b"\n")
            file.flush()
            os.fsync(descriptor)
    except OSError as exc:
        with contextlib.suppress(OSError):  # half a key would only be refused later, with less said
            path.unlink()
        raise KeyFileError(path, f"can't be written: {exc.strerror}") from exc


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
