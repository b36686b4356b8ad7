"""The library: where an MP3 gets its place, and that nothing of anybody else's is touched there."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import json
import logging
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import naming
from server.clip import Clip
from server.jobs import Artifact, Media, Recipe, Source
from server.media import id3
from server.naming import DEFAULT_PATH, LONGEST_IN_LIBRARY
from server.storage import artifact_names, library_files
from server.storage.artifacts import Artifacts
from server.storage.library import Library

VIDEO, OTHER = "dQw4w9WgXcQ", "-_abcdefghi"
PLAIN = Media("A title", "A channel", 1.0, "2026-01-31", Source("opus", 130))
SONG = dataclasses.replace(PLAIN, title="A Song", artist="Someone", album="An Album", track="A Song")
FRAME = {320: b"\xff\xfb\xe4\xc4", 128: b"\xff\xfb\x94\xc4"}
FORBIDDEN = re.compile(r'[<>:"\\|?*\x00-\x1f\x7f-\x9f]')


def place(media: Media, template: str = DEFAULT_PATH, video: str = VIDEO, loudness: float | None = None) -> str:
    return str(next(naming.places(template, media, video, loudness=loudness)))


# ---- names


@pytest.mark.parametrize(
    ("template", "of_a_song", "of_a_video"),
    [
        (DEFAULT_PATH, "Someone/An Album/A Song.mp3", "A channel/A title.mp3"),
        ("{artist}/{album}/{track}.mp3|{artist}/{title}.mp3", "Someone/An Album/A Song.mp3", "A channel/A title.mp3"),
        ("YouTube/{genre}/{artist} – {title}.mp3", "YouTube/Someone – A Song.mp3", "YouTube/A channel – A title.mp3"),
        ("{album} ({year})/{title}.mp3", "An Album (2026)/A Song.mp3", "(2026)/A title.mp3"),
        ("{genre}.mp3", f"{VIDEO}.mp3", f"{VIDEO}.mp3"),
    ],
)
def test_a_folder_of_which_nothing_is_known_is_left_out(template: str, of_a_song: str, of_a_video: str) -> None:
    assert (place(SONG, template), place(PLAIN, template)) == (of_a_song, of_a_video)


def test_an_artist_has_its_folder_even_if_the_title_names_it() -> None:
    media = dataclasses.replace(PLAIN, title="Someone - A Song", artist="Someone")
    assert place(media, "{artist}/{artist} – {title}.mp3") == "Someone/Someone - A Song.mp3"


def test_a_clip_and_a_loudness_have_names_of_their_own() -> None:
    clip = dataclasses.replace(SONG, part="1:05–2:30")
    assert place(clip, loudness=-14.0) == "Someone/An Album/A Song (1.05–2.30) (-14 LUFS).mp3"
    long = [dataclasses.replace(clip, title="夜" * 300, part=part) for part in ("1:05–2:30", "1:05–2:31")]
    for name in (PurePosixPath(place(one)).name for one in long):
        assert LONGEST_IN_LIBRARY < len(name.encode()) + 3 <= LONGEST_IN_LIBRARY + 7
    assert place(long[0]) != place(long[1])


def test_another_place_has_the_videos_id_before_its_part() -> None:
    clip = dataclasses.replace(PLAIN, part="1:05–2:30")
    assert [path.name for path in naming.places("{title}.mp3", clip, VIDEO, most=3)] == [
        "A title (1.05–2.30).mp3",
        f"A title [{VIDEO}] (1.05–2.30).mp3",
        f"A title [{VIDEO}] (2) (1.05–2.30).mp3",
    ]


texts = st.one_of(
    st.text(max_size=200), st.sampled_from(["..", "../../etc", "/", "a/../b", "AC/DC", "con", "\ud800", "x" * 400])
)


@given(texts, texts, texts, st.sampled_from([DEFAULT_PATH, "a/{artist}/{title} – {album}.mp3", "{album}/{title}.mp3"]))
def test_no_text_leads_out_of_the_library_or_is_refused_by_a_file_system(
    artist: str, album: str, title: str, template: str
) -> None:
    media = dataclasses.replace(PLAIN, artist=artist, album=album, title=title)
    for path in naming.places(template, media, VIDEO, most=3):
        assert not path.is_absolute() and 1 <= len(path.parts) <= 3
        for part in path.parts:
            assert part.encode() and part not in (".", "..") and not part.startswith(".") and part == part.strip()
            assert len(part.encode()) <= LONGEST_IN_LIBRARY + 4 and not FORBIDDEN.search(part)
        assert path.name.endswith(".mp3")


@pytest.mark.parametrize(
    "template",
    [
        *("", "{title}", "{title}.mp4", "{title}.mp3|{title}", ".mp3", "{artist}/.mp3", "{artist}/music.mp3"),
        *("/{title}.mp3", "{artist}//{title}.mp3", "../{title}.mp3", "a/./{title}.mp3", "con/{title}.mp3"),
        *("a:b/{title}.mp3", "{artist}/{song}.mp3", "{artist/{title}.mp3"),
    ],
)
def test_a_template_that_names_no_file_in_the_library_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"a template|folders with names|a path"):
        naming.parse_path(template)


# ---- whose a file is


def mp3(video: str = VIDEO, bitrate: int = 320, media: Media = SONG) -> bytes:
    return id3.tag(media, url=f"https://www.youtube.com/watch?v={video}") + FRAME[bitrate] + bytes(500)


def test_an_mp3_says_which_video_and_bitrate_it_is(tmp_path: Path) -> None:
    file = tmp_path / "song.mp3"
    file.write_bytes(mp3())
    assert id3.origin(file) == (VIDEO, 320)
    file.write_bytes(mp3(OTHER, 128))
    assert id3.origin(file) == (OTHER, 128)


@pytest.mark.parametrize("content", [b"", b"ID3", b"somebody's", mp3()[:-504], mp3()[:-503], FRAME[320] + bytes(500)])
def test_anything_else_is_nobodys(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "song.mp3"
    file.write_bytes(content)
    assert id3.origin(file) is None
    os.mkfifo(tmp_path / "pipe")
    assert id3.origin(tmp_path / "pipe") is None and id3.origin(tmp_path) is None
    assert id3.origin(tmp_path / "missing") is None


# ---- the files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "music").mkdir()
    return tmp_path / "music"


@pytest.fixture(params=["links", "no links"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A disk with hard links, and one without."""
    if request.param == "no links":

        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refuse)
    return str(request.param)


async def published(folder: Path, recipe: Recipe, media: Media = SONG) -> Artifact:
    artifacts = Artifacts(folder, budget_bytes=1 << 30)
    await artifacts.open()
    async with artifacts.staging() as staging:
        (staging / "audio").write_bytes(mp3(recipe.video_id, recipe.bitrate_kbps, media))
        return await artifacts.publish(staging / "audio", None, recipe=recipe, media=media)


def files(root: Path) -> dict[str, bytes]:
    """What is in the library, without what is its own."""
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(library_files.OWN)}


async def put(root: Path, *artifacts: Artifact) -> Library:
    library = Library(root, DEFAULT_PATH, id3.origin)
    for artifact in artifacts:
        library.add(artifact)
    await library.put_all()
    return library


async def test_a_finished_file_appears_and_leaves_nothing_beside_it(tmp_path: Path, root: Path, disk: str) -> None:
    artifact = await published(tmp_path / "downloads", Recipe(VIDEO, 320))
    await put(root, artifact)
    assert files(root) == {"Someone/An Album/A Song.mp3": mp3()}
    assert (root / "Someone/An Album/A Song.mp3").samefile(artifact.path) == (disk == "links")
    assert not list((root / library_files.OWN).iterdir())


async def test_no_other_file_is_overwritten(tmp_path: Path, root: Path, disk: str) -> None:
    (root / "Someone" / "An Album").mkdir(parents=True)
    (root / "Someone" / "An Album" / "A Song.mp3").write_bytes(b"somebody's")
    await put(root, await published(tmp_path / "downloads", Recipe(VIDEO, 320)))
    await put(root, await published(tmp_path / "downloads", Recipe(OTHER, 320)))
    assert files(root) == {
        "Someone/An Album/A Song.mp3": b"somebody's",
        f"Someone/An Album/A Song [{VIDEO}].mp3": mp3(),
        f"Someone/An Album/A Song [{OTHER}].mp3": mp3(OTHER),
    }


async def test_two_bitrates_and_a_loudness_lie_beside_each_other(tmp_path: Path, root: Path) -> None:
    for recipe in (Recipe(VIDEO, 320), Recipe(VIDEO, 128), Recipe(VIDEO, 128, None, -14.0)):
        await put(root, await published(tmp_path / "downloads", recipe))
    assert sorted(files(root)) == [
        "Someone/An Album/A Song (-14 LUFS).mp3",
        f"Someone/An Album/A Song [{VIDEO}].mp3",
        "Someone/An Album/A Song.mp3",
    ]


async def test_a_video_that_is_made_again_after_its_expiry_has_its_place(tmp_path: Path, root: Path, disk: str) -> None:
    for _ in range(3):
        artifact = await published(tmp_path / "downloads", Recipe(VIDEO, 320))
        await put(root, artifact)
        artifact.path.unlink()
    assert list(files(root)) == ["Someone/An Album/A Song.mp3"]


async def test_names_that_are_one_on_some_disk_are_one_here(tmp_path: Path, root: Path) -> None:
    await put(root, await published(tmp_path / "downloads", Recipe(VIDEO, 320)))
    shouted = dataclasses.replace(SONG, artist="SOMEONE", title="A SONG")
    await put(root, await published(tmp_path / "downloads", Recipe(OTHER, 320), shouted))
    assert sorted(files(root)) == [f"Someone/An Album/A SONG [{OTHER}].mp3", "Someone/An Album/A Song.mp3"]


async def test_what_its_owner_removed_or_renamed_is_not_put_back(tmp_path: Path, root: Path) -> None:
    artifact = await published(tmp_path / "downloads", Recipe(VIDEO, 320))
    await put(root, artifact)
    (root / "Someone/An Album/A Song.mp3").rename(root / "mine.mp3")
    await put(root, artifact)
    assert list(files(root)) == ["mine.mp3"]


async def test_another_library_gets_what_is_kept(tmp_path: Path, root: Path) -> None:
    artifact = await published(tmp_path / "downloads", Recipe(VIDEO, 320))
    await put(root, artifact)
    (tmp_path / "second").mkdir()
    await put(tmp_path / "second", artifact)
    assert files(root) == files(tmp_path / "second")


async def test_the_mark_keeps_the_file_whole_for_a_restart(tmp_path: Path, root: Path) -> None:
    artifact = await published(tmp_path / "downloads", Recipe(VIDEO, 320, Clip(1.0, 2.0)))
    await put(root, artifact)
    assert json.loads(artifact.path.with_suffix(".json").read_bytes())["library"] == str(root)
    assert await Artifacts(tmp_path / "downloads", budget_bytes=1 << 30).open() == [artifact]


async def test_a_crash_before_the_mark_puts_nothing_twice(tmp_path: Path, root: Path, disk: str) -> None:
    artifact = await published(tmp_path / "downloads", Recipe(VIDEO, 320))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library_files, "note", lambda *_: None)
        await put(root, artifact)
    assert not library_files.is_in(artifact.path, root)
    await put(root, artifact)
    assert list(files(root)) == ["Someone/An Album/A Song.mp3"] and library_files.is_in(artifact.path, root)


# ---- a library that cannot be written


async def test_a_library_that_is_missing_is_not_made_and_gets_all_once_it_is_there(
    tmp_path: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root.rmdir()
    artifact = await published(tmp_path / "downloads", Recipe(VIDEO, 320))
    library = await put(root, artifact)
    assert not root.exists() and [record.levelname for record in caplog.records] == ["WARNING"]
    await library.put_all()
    assert len(caplog.records) == 1, "it is logged once"
    assert await library.warning() == (
        "The library cannot be written: No such file or directory. Files that wait for it: 1. "
        "Check [storage] library: the folder, its rights and its disk."
    )
    root.mkdir()
    assert await library.warning() is None
    await library.put_all()
    assert list(files(root)) == ["Someone/An Album/A Song.mp3"]


async def test_what_expired_meanwhile_is_named(tmp_path: Path, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    artifact = await published(tmp_path / "downloads", Recipe(VIDEO, 320))
    artifact.path.unlink()
    library = await put(root, artifact)
    assert "has expired before it could be put into the library" in caplog.text
    assert await library.warning() is None and not files(root)


async def test_one_that_has_no_place_holds_no_other_back(
    tmp_path: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "Someone").write_bytes(b"a file where a folder should be")
    stuck = await published(tmp_path / "downloads", Recipe(VIDEO, 320))
    fine = await published(tmp_path / "downloads", Recipe(OTHER, 320), PLAIN)
    library = await put(root, stuck, fine)
    await library.put_all()
    assert sorted(files(root)) == ["A channel/A title.mp3", "Someone"]
    assert caplog.text.count("cannot be put into the library") == 1
    assert await library.warning() == "Files that cannot be put into the library: 1. The log says why."


@pytest.mark.parametrize("disk", ["no links"], indirect=True)
async def test_a_full_disk_leaves_no_half_file(tmp_path: Path, root: Path, disk: str) -> None:
    artifact = await published(tmp_path / "downloads", Recipe(VIDEO, 320))

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library_files, "sync", full)
        await put(root, artifact)
    assert not files(root) and not list((root / library_files.OWN).iterdir())


async def test_a_stop_ends_a_copy_and_the_next_start_clears_up(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    artifact = await published(tmp_path / "downloads", Recipe(VIDEO, 320))
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    copy: Callable[..., None] = library_files._copy

    def slow(file: Path, path: Path, root: Path, stop: threading.Event) -> None:
        loop.call_soon_threadsafe(begun.set)
        assert stop.wait(60)
        copy(file, path, root, stop)

    monkeypatch.setattr(library_files, "_link_or_copy", slow)
    library = Library(root, DEFAULT_PATH, id3.origin)
    library.add(artifact)
    task = asyncio.create_task(library.run_forever())
    await asyncio.wait_for(begun.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not files(root) and not library_files.is_in(artifact.path, root)
    (root / library_files.OWN / "left behind").touch()
    library_files.clear(root)
    assert not list((root / library_files.OWN).iterdir())


def test_a_note_never_brings_back_what_was_removed(tmp_path: Path, root: Path) -> None:
    file = tmp_path / artifact_names.new(Recipe(VIDEO, 320))
    library_files.note(file, root)
    file.with_suffix(".json").write_text("{}")
    library_files.note(file, root)
    assert not list(tmp_path.glob(f"{VIDEO}*"))
