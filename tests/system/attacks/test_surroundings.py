"""What is around the server gives way: it heals, or says what is wrong where, and loses nothing that was accepted."""

from __future__ import annotations

import errno
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import NewServer, SmallDisk
from support.commandline import started
from support.disks import fill
from support.refusals import refusing
from support.serverprocess import ServerProcess, until

from server.filesystems import NO_LOCKS, NO_SYNC

pytestmark = pytest.mark.long


# ---- file systems


@pytest.mark.parametrize(
    ("refused", "lacks"),
    [
        ({"sync": errno.EINVAL}, [NO_SYNC]),
        ({"lock": errno.ENOLCK}, [NO_LOCKS]),
        ({"sync": errno.ENOTSUP, "lock": errno.ENOTSUP}, [NO_SYNC, NO_LOCKS]),
        ({"sync": errno.ENOSYS, "lock": errno.EINVAL}, [NO_SYNC, NO_LOCKS]),
        ({"move": errno.EXDEV}, []),
    ],
    ids=["no sync", "no locks", "neither, not supported", "neither, not known", "no renames between folders"],
)
def test_a_file_system_that_refuses_a_call_is_good_enough_and_named(
    new_server: NewServer, tmp_path: Path, refused: dict[str, int], lacks: list[str]
) -> None:
    folder = tmp_path / "server"
    server = new_server(**refusing(tmp_path, folder, **refused))
    server.start()
    assert server.request("GET", "/readyz").json["warnings"] == [
        f"[storage] {name}: {lack}." for name in ("state", "downloads") for lack in lacks
    ]
    for name in ("state", "downloads"):
        for lack in (NO_SYNC, NO_LOCKS):
            assert server.log.count(f"/server/{name}: {lack}") == (lack in lacks)
    done = server.finished_with_cover("plain-video", "low")["conversion_id"]
    content = server.download(done)
    accepted = server.convert("another-one")
    server.kill()
    server.start()
    assert server.download(done) == content
    assert server.finished(accepted)["status"] == "completed"
    assert {path.suffix for path in server.downloads.iterdir() if path.is_file() and path.suffix} <= {
        ".mp3",
        ".json",
        ".jpg",
    }
    assert not list((folder / "state").glob("*unreadable*"))


# ---- the downloads folder


SLOW = "x-slow-----"


@pytest.fixture
def server(new_server: NewServer) -> ServerProcess:
    server = new_server()
    server.start()
    return server


def running(server: ServerProcess) -> str:
    """One in the middle of its encoding."""
    conversion = server.convert(SLOW)
    until(lambda: server.has_audio(conversion))
    return conversion


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, timeout=60)


def unmount(folder: Path) -> None:
    """At once, though files are open there."""
    subprocess.run(["umount", "--lazy", folder], check=True, timeout=60)


def is_removed(folder: Path) -> bool:
    try:
        shutil.rmtree(folder)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("removed", ["downloads/.staging", "downloads", "state"])
def test_a_folder_that_is_removed_under_a_running_job_is_made_again(server: ServerProcess, removed: str) -> None:
    conversions = [running(server), server.convert("plain-video"), server.convert("another-one")]
    until(lambda: is_removed(server.folder / removed), what="it is removed, although something is written into it")
    for conversion in [*conversions, server.convert("one-more-vi")]:
        done = server.finished(conversion)
        assert done["status"] == "completed", done
        assert len(server.download(conversion)) == done["file_size"]
    assert server.request("GET", "/readyz").json["problems"] == []
    assert server.staged() == []


def replaced(server: ServerProcess) -> Callable[[], None]:
    """By a file; how it comes back."""
    elsewhere = server.folder / "elsewhere"
    server.downloads.rename(elsewhere)
    server.downloads.write_text("no folder")

    def come_back() -> None:
        server.downloads.unlink()
        elsewhere.rename(server.downloads)

    return come_back


def read_only(server: ServerProcess) -> Callable[[], None]:
    mount("--bind", server.downloads, server.downloads)
    mount("-o", "remount,bind,ro", server.downloads)
    return lambda: unmount(server.downloads)


@pytest.mark.parametrize("attack", [replaced, read_only])
def test_while_it_cannot_be_written_jobs_wait_and_readyz_says_so(
    server: ServerProcess, small_disk: SmallDisk, attack: Callable[[ServerProcess], Callable[[], None]]
) -> None:
    small_disk(64)  # skips where nothing can be mounted
    done = server.convert("plain-video")
    assert server.finished(done)["status"] == "completed"
    at_work = running(server)
    come_back = attack(server)
    try:
        waits = until(lambda: (shown := server.status(at_work))["notice"] and shown, what="it waits")
        assert waits["status"] == "queued"
        refused = server.request("POST", "/convert", {"url": "https://youtu.be/another-one"})
        assert (refused.status, refused.json["error"]["code"]) == (503, "DISK_FULL")
        ready = server.request("GET", "/readyz")
        assert ready.status == 503 and "downloads folder" in " ".join(ready.json["problems"])
        assert f"{server.downloads.name} cannot be written" in server.log
    finally:
        come_back()
    assert server.finished(at_work)["status"] == "completed"
    assert server.download(done)
    assert server.request("GET", "/readyz").status == 200


@pytest.fixture
def disk(small_disk: SmallDisk, tmp_path: Path) -> Iterator[Path]:
    """A disk of its own for the downloads of `new_server`."""
    disk = small_disk(32 * 1024)
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "downloads").symlink_to(disk)
    yield disk
    mount("-t", "tmpfs", "tmpfs", disk)  # for who unmounts it


def test_a_disk_that_goes_while_jobs_run_takes_no_accepted_work_along(disk: Path, new_server: NewServer) -> None:
    """Its mount point is a folder, in which the work is done again."""
    server = new_server()
    server.start()
    accepted = [running(server), server.convert("plain-video"), server.convert("another-one")]
    unmount(disk)
    for conversion in accepted:
        assert server.finished(conversion)["status"] == "completed"
    assert server.finished(server.convert("one-more-vi"))["status"] == "completed"


# ---- a full disk


@pytest.mark.parametrize(
    ("full", "ends", "ready"), [("state", "completed", 503), ("downloads", "failed", 503), ("tmp", "completed", 200)]
)
def test_one_full_folder_loses_nothing_and_recovers(
    new_server: NewServer, small_disk: SmallDisk, tmp_path: Path, full: str, ends: str, ready: int
) -> None:
    disk = small_disk(16 * 1024)
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / full).symlink_to(disk)
    server = new_server()
    server.start()
    done = server.convert("plain-video")
    assert server.finished(done)["status"] == "completed"
    at_work = running(server)
    fill(disk)
    ended = server.finished(at_work)
    assert ended["status"] == ends
    if ends == "failed":
        assert ended["error"]["code"] == "DISK_FULL"

    def post() -> int:
        return server.request("POST", "/convert", {"url": "https://youtu.be/another-one", "quality": "low"}).status

    def is_told() -> bool:
        fill(disk)
        return post() == ready

    until(is_told)
    until(lambda: server.request("GET", "/readyz").status == ready)
    assert server.download(done)
    (disk / "filler").unlink()
    until(lambda: post() == 200 and server.request("GET", "/readyz").status == 200, what="it recovers")
    accepted = server.convert("another-one")
    server.kill()
    server.start()
    assert server.download(done)
    assert server.status(at_work)["status"] == ends
    assert server.finished(accepted)["status"] == "completed"


# ---- the temporary folder, the environment, odd paths


def test_an_emptied_temporary_folder_fails_no_conversion(tmp_path: Path) -> None:
    """Offline mode has everything there unless a folder is named."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with started(tmp_path / "offline", "--offline", TMPDIR=str(temporary)) as server:
        assert server.convert("plain-video")["status"] == "completed"
        for found in temporary.iterdir():
            shutil.rmtree(found)
        for video in ("another-one", "plain-video"):
            converted = server.convert(video)
            assert converted["status"] == "completed", converted
            assert len(server.download(converted)) == converted["file_size"]


@pytest.mark.parametrize(
    ("place", "prepare", "environment"),
    [
        ('a folder with "quotes" & 100%?#', "umask 000; unset HOME", {"LC_ALL": "C", "PYTHONUTF8": "0"}),
        ("Größe 音楽 🎵", "umask 077", {"HOME": "/nonexistent", "TMPDIR": "/nonexistent"}),
        ("x" * 100 + "/" + "y" * 100, "umask 022", {"HOME": "/proc", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}),
        ("linked", "umask 027; ulimit -c 0", {"LC_ALL": "POSIX"}),
    ],
    ids=["quotes, umask 000, no HOME", "Unicode, umask 077, no TMPDIR", "200 characters", "linked folders"],
)
def test_odd_folders_and_environments_are_good_enough(
    new_server: NewServer, tmp_path: Path, place: str, prepare: str, environment: dict[str, str]
) -> None:
    folder = tmp_path / place
    if place == "linked":
        (tmp_path / "real").mkdir()
        folder.symlink_to(tmp_path / "real")
    folder.mkdir(parents=True, exist_ok=True)
    server = new_server(folder=folder, **environment)
    inner = " ".join(map(shlex.quote, server.interpreter))
    server.interpreter = ["bash", "-c", f'{prepare}; exec {inner} "$@"', "bash"]
    server.start()
    done = server.finished_with_cover("plain-video", "low")
    assert len(server.download(done["conversion_id"])) == done["file_size"]
    accepted = server.convert("another-one")
    server.kill()
    server.start()
    assert server.finished(accepted)["status"] == "completed"
    assert server.request("GET", "/readyz").json["problems"] == []
    written = [
        path for path in folder.rglob("*") if not path.is_symlink() and not path.is_relative_to(folder / "youtube")
    ]
    assert [path for path in written if path.stat().st_mode & 0o002] == [], "none is for everybody to write"
