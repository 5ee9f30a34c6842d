"""Disk access beside the loop: bounded, in turn, and never in the way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from functools import partial

import pytest

from agent.runtime.disk import Disk
from tests.runtime.waiting import on_loop, until


@on_loop
async def test_work_is_done_in_the_order_in_which_it_was_asked_for() -> None:
    disk, done, first = Disk(10), list[int](), threading.Event()

    def work(number: int) -> None:
        if number == 0:
            first.wait(10)
        done.append(number)

    asked = [asyncio.create_task(disk.do(partial(work, number))) for number in range(5)]
    await asyncio.sleep(0)
    first.set()
    await asyncio.gather(*asked)
    assert done == [0, 1, 2, 3, 4]


@on_loop
async def test_each_thread_begins_with_what_it_shall_precede_by() -> None:
    begun = list[int]()
    disk = Disk(10, precede=lambda: begun.append(threading.get_ident()))
    done = [await disk.do(threading.get_ident) for _ in range(2)]
    assert begun == done
    assert threading.get_ident() not in done


@on_loop
async def test_what_the_work_raises_is_raised() -> None:
    disk = Disk(10)

    def work() -> None:
        raise TimeoutError(110, "NFS server not responding")

    with pytest.raises(TimeoutError, match="NFS server"):
        await disk.do(work)
    assert await disk.do(lambda: 7) == 7


@on_loop
async def test_a_hanging_disk_is_told_in_time_and_then_at_once_until_it_is_back() -> None:
    disk, back = Disk(0.05), threading.Event()
    with pytest.raises(OSError, match=r"didn't answer within 0\.05 s"):
        await disk.do(lambda: back.wait(30))
    with pytest.raises(OSError, match="hasn't answered earlier accesses"):
        await disk.do(lambda: pytest.fail("it must not be tried"))
    back.set()
    await until(lambda: not disk.under_way)
    assert await disk.do(lambda: 7) == 7


@on_loop
async def test_giving_up_the_wait_does_not_let_others_in_beside_it() -> None:
    disk, begun, back = Disk(10), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        back.wait(30)

    asked = asyncio.create_task(disk.do(work))
    await until(begun.is_set)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    with pytest.raises(OSError, match="hasn't answered"):
        await disk.do(lambda: None)
    back.set()


@on_loop
async def test_a_machine_out_of_threads_is_an_oserror(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="can't start new thread"):
            await Disk(10).do(lambda: None)


def test_a_process_ends_while_its_disk_hangs() -> None:
    program = """
import asyncio, threading
from agent.runtime.disk import Disk
async def main():
    try:
        await Disk(0.05).do(threading.Event().wait)
    except OSError as error:
        print(error.strerror)
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=20, check=True)
    assert ended.stdout == b"the disk didn't answer within 0.05 s\n"
