from __future__ import annotations

import pytest

from recovery_kits import processes
from recovery_kits.nfs import kit as kit_module
from recovery_kits.nfs import server
from tests.kits.nfs.machine import NfsMachine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> NfsMachine:
    """A machine whose protected filesystem is mounted and where no NFS server runs; the kit acts on it."""
    machine = NfsMachine()

    async def null_call(host: str) -> None:
        assert host == "127.0.0.1"
        if not machine.threads:
            raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(server, "read_mounts", lambda: list(machine.mounts))
    monkeypatch.setattr(server, "_is_tracking", lambda: machine.tracked)
    monkeypatch.setattr(processes, "running", machine.running)
    monkeypatch.setattr(processes, "end", machine.end)
    monkeypatch.setattr(kit_module, "null_call", null_call)
    return machine
