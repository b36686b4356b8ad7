"""What is done where a file system refuses to sync, to lock or to replace a file."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.findings import with_

from server import filesystems
from server.access import key_file
from server.commands import checks
from server.commands.checks import WARNING, Finding
from server.config import Config
from server.filesystems import NO_LOCKS, NO_SYNC
from server.storage import lock


def refusing(number: int) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


UNSUPPORTED = [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS]


def test_the_file_system_here_lacks_nothing(tmp_path: Path) -> None:
    assert filesystems.lacks(tmp_path) == []


@pytest.mark.parametrize("number", UNSUPPORTED)
def test_one_that_cannot_sync_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(os, "fsync", refusing(number))
    assert filesystems.lacks(tmp_path) == [NO_SYNC]
    filesystems.sync(tmp_path)


@pytest.mark.parametrize("call", ["flock", "lockf"])
@pytest.mark.parametrize("number", [*UNSUPPORTED, errno.ENOLCK])
def test_one_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str) -> None:
    monkeypatch.setattr(fcntl, call, refusing(number))
    assert filesystems.lacks(tmp_path) == [NO_LOCKS]
    os.close(lock.take(tmp_path, ".lock", "downloads"))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_any_other_reason_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(os, "fsync", refusing(number))
    monkeypatch.setattr(fcntl, "flock", refusing(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        filesystems.sync(tmp_path)
    with pytest.raises(OSError, match=os.strerror(number)):
        lock.take(tmp_path, ".lock", "downloads")


def test_the_doctor_names_the_folder_and_what_may_be_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", refusing(errno.EINVAL))
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    config = with_("storage", downloads=tmp_path / "downloads", state=tmp_path / "state")
    warnings = [finding for finding in checks.folders(config) if finding.level == WARNING]
    for name in ("state", "downloads"):
        for lack in (NO_SYNC, NO_LOCKS):
            text = f"{tmp_path / name}: {lack}. Name a [storage] {name} on a disk of this machine."
            assert Finding(WARNING, name, text) in warnings


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EPERM, errno.EXDEV])
def test_keys_are_kept_in_a_file_that_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As of a container that mounts `keys.toml` by itself."""
    path = tmp_path / "keys.toml"
    for name in ("one", "another"):
        key_file.create(path, name, {})
    inode = path.stat().st_ino
    monkeypatch.setattr(Path, "replace", refusing(number))
    key_file.create(path, "third", {})
    key_file.delete(path, "one")
    assert path.stat().st_ino == inode
    assert [line.split()[0] for line in key_file.listing(path)] == ["another", "third"]
    assert {one.name for one in tmp_path.iterdir()} == {"keys.toml", "keys.toml.lock"}


def test_keys_can_be_made_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(errno.EINVAL))
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    key_file.create(tmp_path / "keys.toml", "me", {})
    assert len(key_file.listing(tmp_path / "keys.toml")) == 1
    assert caplog.messages == [f"{tmp_path}: {NO_LOCKS}"]


def test_a_file_that_lies_on_another_disk_is_copied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "staging").mkdir()
    file, path = tmp_path / "staging" / "audio", tmp_path / "audio.mp3"
    file.write_bytes(b"sound")
    rename = Path.replace

    def within(self: Path, target: Path) -> Path:
        if self.parent != target.parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", within)
    filesystems.move(file, path)
    assert path.read_bytes() == b"sound"
    assert {one.name for one in tmp_path.iterdir()} == {"staging", "audio.mp3"}


def test_the_doctor_says_nothing_of_a_healthy_keys_folder(tmp_path: Path) -> None:
    import dataclasses

    assert list(checks.keys_file(dataclasses.replace(Config(), keys_file=tmp_path / "keys.toml"))) == []
