"""The `nfs` kit against a machine that obeys its commands; the real kernel's are in tests/lab/test_nfs.py."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Run, Site
from recovery_kits.nfs import NfsKit, NfsParameters
from recovery_kits.processes import Process
from tests.kits.fakes import Faulty, Table, failed, tools
from tests.kits.nfs.machine import NfsMachine, mount

SHARE = "/mnt/DIR1/share"
PARAMETERS = NfsParameters(
    exports=(f"{SHARE} 10.0.0.0/16(rw) fd00::/64(ro)", "/mnt/DIR1/docs *"), state=Path("/mnt/DIR1/state")
)


def kit(run: Run, parameters: NfsParameters = PARAMETERS, node: str = "db-01") -> NfsKit:
    return NfsKit(parameters, replace(tools(run), node=node, site=Site(cluster="garoon")))


def check(machine: NfsMachine) -> str:
    """What the quick check complains about; nothing if it is OK."""
    found = asyncio.run(kit(machine).quick_check())
    assert (found.health is Health.OK) == (found.why == "")
    return found.why


def test_every_action_twice_in_a_row(machine: NfsMachine) -> None:
    nfs = kit(machine)
    for _ in range(2):
        asyncio.run(nfs.restore())
        assert (machine.threads, len(machine.exports), len(machine.processes)) == (8, 3, 2)
        assert check(machine) == ""
    for action in (nfs.remove, nfs.force_remove):
        for _ in range(2):
            asyncio.run(action())
            assert (machine.threads, machine.exports, machine.processes) == (0, {}, [])
            assert check(machine) == "no NFS server runs here"
        asyncio.run(nfs.restore())
    asyncio.run(nfs.recover())
    assert check(machine) == ""


def test_a_client_takes_the_servers_of_all_nodes_for_one(
    machine: NfsMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(kit(machine).restore())
    first = (machine.scope, dict(machine.exports))
    asyncio.run(kit(machine).remove())
    asyncio.run(kit(machine, node="db-02").restore())
    assert (machine.scope, dict(machine.exports)) == first
    assert machine.scope == "res.garoon"


def test_it_is_exported_before_it_serves_and_clients_are_known_before_that(machine: NfsMachine) -> None:
    asyncio.run(kit(machine).restore())
    programs = [argv[0] if argv[0] != "unshare" else "rpc.nfsd" for argv in machine.commands]
    order = [programs.index(each) for each in ("modprobe", "nfsdcld", "rpc.mountd", "rpc.nfsd")]
    assert order == sorted(order)
    machine.commands.clear()
    asyncio.run(kit(machine).remove())
    stop, forget = machine.commands.index(("rpc.nfsd", "0")), machine.commands.index(("exportfs", "-f"))
    assert stop < forget


def test_what_an_earlier_server_left_in_the_list_is_not_served(machine: NfsMachine) -> None:
    machine.exports["/home  *"] = "rw"
    asyncio.run(kit(machine).restore())
    assert "/home  *" not in machine.exports


@pytest.mark.parametrize("gone", ["nfsdcld", "rpc.mountd", "exports"])
def test_what_is_missing_is_found_and_repaired_without_a_pause(machine: NfsMachine, gone: str) -> None:
    asyncio.run(kit(machine).restore())
    if gone == "exports":
        machine.exports.popitem()
    machine.processes = [each for each in machine.processes if each.argv[0] != gone]
    assert check(machine) != ""
    machine.commands.clear()
    asyncio.run(kit(machine).recover())
    assert check(machine) == ""
    assert ("rpc.nfsd", "0") not in machine.commands


def test_a_server_that_answers_nobody_is_started_anew(
    machine: NfsMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(kit(machine).restore())
    stuck = True

    async def null_call(_host: str) -> None:
        if stuck and ("rpc.nfsd", "0") not in machine.commands:
            raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr("recovery_kits.nfs.kit.null_call", null_call)
    assert check(machine) == "port 2049 doesn't answer: nobody listens"
    asyncio.run(kit(machine).recover())
    assert check(machine) == ""


def test_a_server_of_somebody_else_is_neither_used_nor_stopped(machine: NfsMachine) -> None:
    machine.mounts.append(mount("/proc/fs/nfsd", "nfsd"))
    machine.threads, machine.exports = 4, {"/home  *": "rw"}
    machine.processes = [Process(7, ("nfsdcld",)), Process(8, ("rpc.mountd",))]
    asyncio.run(kit(machine).remove())
    with pytest.raises(KitError, match="res: restore: an NFS server runs here that isn't ours"):
        asyncio.run(kit(machine).restore())
    assert (machine.threads, machine.exports, len(machine.processes)) == (4, {"/home  *": "rw"}, 2)


def test_nothing_is_exported_while_its_filesystem_is_not_mounted(machine: NfsMachine) -> None:
    machine.mounts.pop()
    with pytest.raises(KitError, match="/mnt/DIR1/state is on the root filesystem"):
        asyncio.run(kit(machine).restore())
    assert (machine.threads, machine.exports, machine.processes) == (0, {}, [])


def test_no_client_is_served_whose_locks_would_be_lost(machine: NfsMachine) -> None:
    machine.finds_tracker = False
    with pytest.raises(KitError, match="the kernel doesn't find nfsdcld"):
        asyncio.run(kit(machine).restore())
    assert machine.threads == 0
    asyncio.run(kit(machine).remove())
    assert machine.processes == []


@pytest.mark.parametrize("problem", [failed("exportfs"), FileNotFoundError(2, "No such file", "exportfs")])
def test_what_cannot_be_asked_is_unknown(table: Table, problem: Exception) -> None:
    table.answer("exportfs", by=problem)
    nfs = kit(table)
    assert asyncio.run(nfs.quick_check()).health is Health.UNKNOWN
    for action in (nfs.restore, nfs.remove, nfs.force_remove, nfs.recover):
        with pytest.raises(KitError, match="can't be looked at"):
            asyncio.run(action())


@pytest.mark.parametrize("fault", [failed(), asyncio.CancelledError()])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("action", ["restore", "recover", "remove"])
def test_any_call_may_fail_and_the_next_try_finishes(
    machine: NfsMachine, action: str, after: bool, fault: BaseException
) -> None:
    for at in range(30):
        asyncio.run(kit(machine).remove())
        if action == "remove":
            asyncio.run(kit(machine).restore())
        faulty = Faulty(machine, at, fault, after=after)
        try:
            asyncio.run(getattr(kit(faulty), action)())
        except (KitError, asyncio.CancelledError):
            asyncio.run(getattr(kit(machine), action)())
        else:
            assert at >= faulty.count > 0  # the fault came too late
            break
        finally:
            assert (check(machine) == "") == (action != "remove")
    else:
        pytest.fail("never got through")


def test_validate_says_what_to_do(machine: NfsMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path: f"/usr/sbin/{name}")
    assert asyncio.run(kit(machine).validate()) == []
    machine.refused["modprobe"] = "Module nfsd not found"
    machine.enabled = True
    machine.mounts.append(mount("/proc/fs/nfsd", "nfsd"))
    machine.threads = 8
    remedies = [each.remedy for each in asyncio.run(kit(machine).validate())]
    stop = "systemctl disable --now nfs-server.service"
    assert remedies == ["install this kernel's modules", stop, stop]
    machine.refused["exportfs"] = "it broke"
    assert "can't be looked at" in asyncio.run(kit(machine).validate())[-1].problem
    monkeypatch.setattr("shutil.which", lambda name, path: None if name == "nfsdcld" else path)
    (finding,) = asyncio.run(kit(machine).validate())
    assert finding.problem == "there is no nfsdcld"
    assert "nfs-kernel-server" in finding.remedy
