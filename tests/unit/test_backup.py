"""Backups: what is unpacked, what is refused, and that what they replace is set aside, wherever that is cut."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from server.storage import backup, restoring, snapshot
from server.storage.database import Database
from server.storage.lock import Locked

KNOWN, UNKNOWN = "some-video--320-0123456789abcdef", "some-video--320-fedcba9876543210"


def no_check(_: Path) -> None:
    return


def plan_of(folder: Path) -> restoring.Plan:
    return restoring.Plan(
        "20260131T120000.000000",
        folder / "config.toml",
        folder / "keys.toml",
        folder / "state" / "ytmp3d.db",
        folder / "state" / "cookies",
        folder / "downloads",
    )


def fill(folder: Path, what: str) -> dict[str, Path]:
    """The files of an installation, by member; `what` stands in each."""
    plan = plan_of(folder)
    for one in (plan.cookies, plan.downloads):
        one.mkdir(parents=True)
    plan.config.write_text(f"# {what}\n")
    plan.keys.write_text(f"# keys, {what}\n")
    (plan.cookies / "direct.json").write_text(what)
    database = Database(plan.database)
    database.write({("conversions", "one"): json.dumps({"artifact": f"{KNOWN}.mp3", "what": what})})
    database.close()
    for end in (".mp3", ".json", ".jpg"):
        (plan.downloads / f"{KNOWN}{end}").write_text("known")
    return {
        backup.CONFIG: plan.config,
        backup.KEYS: plan.keys,
        f"{backup.COOKIES}direct.json": plan.cookies / "direct.json",
        backup.DATABASE: plan.database,
        **{backup.DOWNLOADS + one.name: one for one in plan.downloads.iterdir()},
    }


def contents(folder: Path) -> tuple[str, ...]:
    plan = plan_of(folder)
    ((_, record),) = snapshot.rows(plan.database, "conversions")
    texts = (plan.config, plan.keys, plan.cookies / "direct.json")
    return (*(one.read_text() for one in texts), str(record["what"]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    files = fill(tmp_path / "old", "old")
    backup.write(tmp_path / "b.tar.gz", "gz", files, "1.2.3")
    return tmp_path / "b.tar.gz"


def restore(file: Path, folder: Path, check: Callable[[Path], None] = no_check) -> list[str]:
    with closing(backup.Reader(file)) as reader:
        return restoring.unpack(reader, folder / "state", plan_of(folder), check)


@pytest.mark.parametrize("how", ["", "gz", "xz"])
def test_everything_comes_back_as_it_was(tmp_path: Path, how: str) -> None:
    files = fill(tmp_path / "old", "old")
    file = tmp_path / "b.tar"
    backup.write(file, how, {**files, f"{backup.DOWNLOADS}gone.mp3": tmp_path / "gone"}, "1.2.3")
    assert file.stat().st_mode & 0o777 == 0o600
    with closing(backup.Reader(file)) as reader:
        assert reader.head.version == "1.2.3" and reader.settings() == b"# old\n"
    assert restore(file, tmp_path / "new") == list(files)
    assert restoring.take_over(tmp_path / "new" / "state") == []
    assert contents(tmp_path / "new") == contents(tmp_path / "old")
    plan = plan_of(tmp_path / "new")
    assert {one.name for one in plan.downloads.iterdir()} == {f"{KNOWN}{end}" for end in (".mp3", ".json", ".jpg")}
    assert not restoring.waits(tmp_path / "new" / "state") and plan.keys.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", range(7))
def test_what_was_there_is_set_aside_wherever_it_is_cut(
    tmp_path: Path, file: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    fill(new, "new")
    plan = plan_of(new)
    (plan.downloads / f"{UNKNOWN}.mp3").write_text("unknown")
    restore(file, new)
    assert contents(new)[0] == "# new\n", "a running server goes on with what it has"
    left = [cut]

    def may_fail(work: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object) -> object:
            left[0] -= 1
            if not left[0]:
                raise OSError("cut")
            return work(*arguments)

        return counted

    with monkeypatch.context() as broken:
        for name in ("move", "_own"):
            broken.setattr(restoring, name, may_fail(getattr(restoring, name)))
        try:
            restoring.take_over(new / "state")
        except OSError:
            restoring.take_over(new / "state")
    assert contents(new) == contents(tmp_path / "old")
    aside = sorted(new.rglob("*before-restore*"))
    texts = {one.read_text() for one in aside if one.is_file() and one.parent != plan.database.parent}
    assert texts == {"# new\n", "# keys, new\n", "new"}
    (database,) = [one for one in aside if one.name.startswith("ytmp3d.db.")]
    assert snapshot.rows(database, "conversions")[0][1]["what"] == "new"
    assert (plan.downloads / f"before-restore.{plan.stamp}" / f"{UNKNOWN}.mp3").read_text() == "unknown"
    assert (plan.downloads / f"{KNOWN}.mp3").exists() and not (plan.downloads / f"{UNKNOWN}.mp3").exists()


def test_where_something_cannot_be_written_nothing_changes(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    fill(new, "new")
    restore(file, new)
    with monkeypatch.context() as other_user:
        other_user.setattr("os.access", lambda path, _: path != new)
        with pytest.raises(restoring.Unwritable, match="cannot write"):
            restoring.take_over(new / "state")
    assert contents(new)[3] == "new"
    for name in ("config.toml", "keys.toml"):
        shutil.copy(tmp_path / "old" / name, new / name)
    aside = restoring.take_over(new / "state")
    assert contents(new)[3] == "old" and not [one for one in aside if one.parent == new], "what is the same stays"


def made(path: Path, change: Callable[[dict[str, tuple[tarfile.TarInfo, bytes]]], None], file: Path) -> Path:
    """A copy of a backup, with its members changed."""
    with tarfile.open(file) as source:
        members = {one.name: (one, (source.extractfile(one) or io.BytesIO()).read()) for one in source}
    change(members)
    with tarfile.open(path, "w") as target:
        for member, content in members.values():
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    return path


def added(name: str, kind: bytes = tarfile.REGTYPE) -> Callable[[dict[str, tuple[tarfile.TarInfo, bytes]]], None]:
    def change(members: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        sums = members.pop("checksums.json")
        members[f"new {name}"] = (member, b"")
        members["checksums.json"] = sums

    return change


def head(**changes: object) -> Callable[[dict[str, tuple[tarfile.TarInfo, bytes]]], None]:
    def change(members: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
        member, content = members["ytmp3d-backup.json"]
        members["ytmp3d-backup.json"] = (member, json.dumps({**json.loads(content), **changes}).encode())

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (added("../evil"), "only files of a backup"),
        (added("/etc/evil"), "only files of a backup"),
        (added("downloads/../evil.mp3"), "only files of a backup"),
        (added("cookies/..json/x.json"), "only files of a backup"),
        (added("keys.toml", tarfile.SYMTYPE), "only files of a backup"),
        (added(f"downloads/{UNKNOWN}.mp3", tarfile.LNKTYPE), "only files of a backup"),
        (added(f"downloads/{UNKNOWN}.mp3", tarfile.FIFOTYPE), "only files of a backup"),
        (added(f"downloads/{UNKNOWN}.mp3"), "a checksum differs"),
        (head(format=2, version="9.0"), "made by ytmp3d 9.0, which is newer"),
        (head(schema=99, version="9.0"), "made by ytmp3d 9.0, which is newer"),
        (head(created="x"), "damaged"),
        (lambda members: members.pop("checksums.json"), "its end is missing"),
        (lambda members: members.pop("ytmp3d-backup.json"), "found another archive"),
        (lambda members: members.update({"keys.toml": (members["keys.toml"][0], b"other")}), "a checksum differs"),
    ],
)
def test_what_no_backup_holds_is_refused_and_changes_nothing(
    tmp_path: Path, file: Path, change: Callable[[dict[str, tuple[tarfile.TarInfo, bytes]]], None], words: str
) -> None:
    broken = made(tmp_path / "broken.tar", change, file)
    with pytest.raises(backup.BadBackup, match=words):
        restore(broken, tmp_path / "new")
    assert not [one for one in (tmp_path / "new").rglob("*") if one.is_file()]
    assert not list(tmp_path.glob("**/evil*"))


def test_any_damage_is_noticed(tmp_path: Path, file: Path) -> None:
    whole = file.read_bytes()
    broken = tmp_path / "broken.tar.gz"
    size = len(gzip.decompress(whole).rstrip(b"\0"))  # after that, a tar file is only filled up
    cut = [whole[:length] for length in range(len(whole))]
    lacking = [one for one in cut if len(zlib.decompressobj(wbits=31).decompress(one)) < size]
    for damaged in [*lacking[::97], lacking[-1], b"x" * 2000]:
        broken.write_bytes(damaged)
        with pytest.raises(backup.BadBackup):
            restore(broken, tmp_path / "new")
    assert not restoring.waits(tmp_path / "new" / "state")


def test_without_room_nothing_is_unpacked(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(OSError, match="No space left"):
        restore(file, tmp_path / "new")
    assert not [one for one in (tmp_path / "new").rglob("*") if one.is_file()]


def test_a_running_server_is_not_disturbed(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = tmp_path / "new"
    fill(new, "new")
    restore(file, new)
    with monkeypatch.context() as running:
        running.setattr("server.storage.replacement.is_locked", lambda path: path == new / "state" / "ytmp3d.db")
        with pytest.raises(Locked):
            restoring.take_over(new / "state")
    assert contents(new)[0] == "# new\n" and restoring.waits(new / "state")


def test_a_database_that_is_damaged_is_not_restored(tmp_path: Path) -> None:
    files = fill(tmp_path / "old", "old")
    bad = tmp_path / "bad.db"
    bad.write_bytes(files[backup.DATABASE].read_bytes()[:4096] + b"\0" * 4096)
    backup.write(tmp_path / "b.tar", "", {**files, backup.DATABASE: bad}, "1.2.3")
    with pytest.raises(backup.BadBackup, match="database in the backup"):
        restore(tmp_path / "b.tar", tmp_path / "new")
