"""A child has ended when its block is left, however it is left; none outlives the server. With real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.waiting import SOON

from server.media import confinement, forking, process, tools
from server.storage import lock

#: Works in the forked children of these tests, see `children.py`.
CHILDREN = "support.children"
AS_FFMPEG = confinement.of_tool("sleep", file_size=1 << 20)


@pytest.fixture(autouse=True)
async def preloaded() -> AsyncIterator[None]:
    tests = Path(__file__).parents[1]
    forking.preload("json", {"PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"})
    yield


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(*pids: int) -> None:
    async with asyncio.timeout(SOON):
        while any(alive(pid) for pid in pids):
            await asyncio.sleep(0.02)


async def test_run_returns_what_the_child_printed() -> None:
    assert await process.run(["head", "-c", "300000", "/dev/zero"], timeout=SOON) == bytes(300_000)


async def test_run_carries_the_end_of_stderr_and_the_status() -> None:
    with pytest.raises(process.ChildFailed) as failed:
        await process.run(["sh", "-c", "seq 100000 >&2; echo the reason >&2; exit 3"], timeout=SOON)
    assert failed.value.returncode == 3
    assert failed.value.stderr.endswith("the reason") and len(failed.value.stderr) <= process.TAIL_BYTES


async def test_a_program_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(process.ChildFailed):
        await process.run(["no-such-program"], timeout=SOON)


@pytest.mark.parametrize("script", ["sleep 60", "trap '' TERM; sleep 60 & wait", "kill -STOP $$"])
async def test_a_child_that_is_too_slow_deaf_or_stopped_is_killed(script: str) -> None:
    with pytest.raises(process.ChildFailed, match="took longer"):
        await process.run(["sh", "-c", script], timeout=0.2)


async def test_a_cancelled_block_has_ended_its_child() -> None:
    pids: list[int] = []

    async def work() -> None:
        async with process.spawn(["sleep", "60"]) as child:
            pids.append(child.pid)
            await child.wait()

    task = asyncio.create_task(work())
    while not pids:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path(f"/proc/{pids[0]}").exists(), "ended and reaped"


@pytest.mark.parametrize("then", ["wait", "exec true"])
async def test_what_a_child_started_does_not_outlive_its_block(then: str) -> None:
    """As of a wrapper script that is named as ffmpeg; also where it has ended before."""
    async with process.spawn(["sh", "-c", f"sleep 60 >/dev/null 2>&1 & echo $!; {then}"]) as child:
        grandchild = int(await child.stdout.readline())
        if then != "wait":
            assert await child.wait() == 0
        assert alive(grandchild)
    await gone(child.pid, grandchild)


async def test_a_child_in_anothers_group_ends_alone() -> None:
    async with process.spawn(["sleep", "60"]) as leader:
        async with tools.spawn(["sleep", "60"], AS_FFMPEG, group=leader.pid) as friend:
            pass
        assert alive(leader.pid) and not alive(friend.pid)


async def test_a_spawned_child_runs_at_low_priority() -> None:
    assert (await process.run(["nice"], timeout=SOON)).strip() == str(min(19, os.nice(0) + process.NICENESS)).encode()


async def test_a_forked_child_sends_events_and_output() -> None:
    async with forking.fork(CHILDREN, "speak", "hello") as child:
        assert await child.events.readline() == b"hello\n"
        assert await asyncio.to_thread(os.read, child.output.fileno(), 100) == b"on stdout"


async def test_leaving_the_block_ends_the_whole_group() -> None:
    async with forking.fork(CHILDREN, "with_a_grandchild") as child:
        grandchild = int(await child.events.readline())
        async with tools.spawn(["sh", "-c", "echo; sleep 60"], AS_FFMPEG, group=child.pid) as friend:
            await friend.stdout.readline()
            assert os.getpgid(friend.pid) == os.getpgid(grandchild) == child.pid
        pids = child.pid, grandchild
    await gone(*pids)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
async def test_a_forked_child_that_is_killed_or_stopped_from_outside_is_ended_with_its_group(
    number: signal.Signals,
) -> None:
    async with forking.fork(CHILDREN, "with_a_grandchild") as child:
        grandchild = int(await child.events.readline())
        os.kill(child.pid, number)
        if number is not signal.SIGSTOP:
            assert await child.wait() == -number
    await gone(child.pid, grandchild)


async def test_a_crash_in_the_child_is_an_end_without_an_event() -> None:
    async with forking.fork(CHILDREN, "crash") as child:
        assert await child.events.readline() == b""
        assert await child.wait() == 1


async def test_a_forkserver_that_was_killed_is_replaced() -> None:
    async with forking.fork(CHILDREN, "speak", "one") as child:
        forkserver = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(forkserver, signal.SIGKILL)
    await gone(forkserver)
    async with forking.fork(CHILDREN, "speak", "two") as child:
        assert await child.events.readline() == b"two\n"


async def test_a_forkserver_needs_no_file_that_anybody_could_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those who clean /tmp do."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    async def prove(fresh: forking.ForkServer) -> None:
        async with forking.fork(CHILDREN, "speak", "one", source=fresh) as child:
            assert await child.events.readline() == b"one\n"
            assert list(tmp_path.iterdir()) == []

    await forking.renew(prove)


async def test_a_fresh_forkserver_takes_over_and_running_work_ends_on_the_old() -> None:
    def parent(pid: int) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

    async def prove(fresh: forking.ForkServer) -> None:
        async with forking.fork(CHILDREN, "speak", "fresh", source=fresh) as child:
            assert await child.events.readline() == b"fresh\n" and parent(child.pid) == fresh.pid

    async with forking.fork(CHILDREN, "with_a_grandchild") as running:
        await running.events.readline()
        old = parent(running.pid)
        await forking.renew(prove)
        async with forking.fork(CHILDREN, "speak", "new") as child:
            assert await child.events.readline() == b"new\n"
            assert parent(child.pid) != old
        assert alive(running.pid) and alive(old)
    await gone(running.pid, old)


async def test_the_old_forkserver_stays_where_the_fresh_one_is_not_proven() -> None:
    refused: list[int] = []

    async def prove(fresh: forking.ForkServer) -> None:
        refused.append(fresh.pid)
        raise ValueError("not good")

    with pytest.raises(ValueError, match="not good"):
        await forking.renew(prove)
    await gone(*refused)
    async with forking.fork(CHILDREN, "speak", "old") as child:
        assert await child.events.readline() == b"old\n"


async def test_a_module_that_cannot_be_imported_is_a_failure_that_says_why() -> None:
    forking.preload("no_such_module")
    with pytest.raises(forking.ForkServerEnded, match="No module named 'no_such_module'"):
        async with forking.fork(CHILDREN, "speak", "one"):
            pass


SERVER = """
import asyncio, os, sys
from server.media import confinement, forking, tools

async def main():
    forking.preload("json")
    async with forking.fork("support.children", "with_a_grandchild") as child:
        grandchild = int(await child.events.readline())
        confined = confinement.of_tool("sleep", file_size=0)
        async with tools.spawn(["sh", "-c", "echo; sleep 60"], confined, group=child.pid) as friend:
            await friend.stdout.readline()
            print(os.getpid(), child.pid, grandchild, friend.pid, flush=True)
            await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("stopped", [None, "child", "grandchild", "friend"])
async def test_no_descendant_outlives_a_killed_server(tmp_path: Path, stopped: str | None) -> None:
    """Not even one that is stopped and so can do nothing itself."""
    script = tmp_path / "a_server.py"
    script.write_text(SERVER)
    root = Path(__file__).parents[1]
    server = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{root.parent}{os.pathsep}{root}"},
    )
    try:
        assert server.stdout
        line = await asyncio.to_thread(server.stdout.readline)
        pids = dict(zip(("server", "child", "grandchild", "friend"), map(int, line.split()), strict=True))
        family = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _below(int(p.name), server.pid)]
        assert {pids["child"], pids["grandchild"], pids["friend"]} <= set(family)
        if stopped:
            os.kill(pids[stopped], signal.SIGSTOP)
        server.kill()
        await gone(*family)
    finally:
        server.kill()
        server.wait()
        if server.stdout:
            server.stdout.close()


def _below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return False
        if pid == ancestor:
            return True
    return False


async def test_a_child_that_was_passed_a_lock_keeps_it_when_its_parent_is_gone(tmp_path: Path) -> None:
    held = lock.take(tmp_path, "lock", "test")
    async with process.spawn([sys.executable, "-c", "import time; time.sleep(600)"], passed=(held,)) as child:
        os.close(held)  # as the kernel does when the parent is killed
        with pytest.raises(lock.Locked):
            lock.take(tmp_path, "lock", "test")
        os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
        os.close(lock.take(tmp_path, "lock", "test"))
