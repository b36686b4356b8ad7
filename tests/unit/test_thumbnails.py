"""Which thumbnails are tried, and that no thumbnail holds anything up."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.waiting import SOON

from server.media import thumbnails

JPEG = b"\xff\xd8" + struct.pack(">BBHBHHB", 0xFF, 0xC0, 17, 8, 720, 1280, 3) + b"\1\x11\0" * 3 + b"\xff\xd9"
BASE = "https://i.ytimg.com"


def listed(*named: dict[str, Any], sure: str | None = None) -> dict[str, Any]:
    """As yt-dlp's YouTube extractor has it: YouTube's own and its guesses, from worst to best."""
    names = ["maxresdefault", "hq720", "sddefault", "hqdefault", "0", "mqdefault", "default", "sd1", "hq2", "mq3", "1"]
    guesses = [
        {"url": f"{BASE}/vi{'_webp' if ext == 'webp' else ''}/ID/{name}.{ext}"}
        for name in names
        for ext in ("webp", "jpg")
    ]
    known = {one["url"] for one in named}
    every = [*named, *(one for one in guesses if one["url"] not in known)]

    def preference(one: dict[str, Any]) -> int:
        at = next(n for n, name in enumerate(names) if f"/ID/{name}." in one["url"])
        return (0 if ".webp" in one["url"] else -1) - 2 * at

    every.sort(key=lambda one: (preference(one), one.get("width", -1)))
    return {"thumbnails": every, "thumbnail": sure or (named[-1]["url"] if named else None)}


def test_each_picture_is_tried_once_the_best_first() -> None:
    info = listed({"url": f"{BASE}/vi/ID/hqdefault.jpg", "width": 480, "height": 360})
    names = ["maxresdefault", "hq720", "sddefault", "hqdefault", "0", "mqdefault"]
    assert thumbnails.candidates(info) == [f"{BASE}/vi/ID/{name}.jpg" for name in names]


def test_what_youtube_names_goes_before_a_guess() -> None:
    webp = f"{BASE}/vi_webp/ID/maxresdefault.webp"
    assert thumbnails.candidates(listed({"url": webp, "width": 1280, "height": 720}))[0] == webp


def test_a_whole_picture_goes_before_one_cut_to_size() -> None:
    cut = {"url": f"{BASE}/vi/ID/hqdefault.jpg?sqp=x&rs=y", "width": 336, "height": 188}
    assert f"{BASE}/vi/ID/hqdefault.jpg" in thumbnails.candidates(listed(cut))
    assert cut["url"] not in thumbnails.candidates(listed(cut))
    assert thumbnails.candidates({"thumbnails": [cut]}) == [cut["url"]]


def test_other_hosts_pictures_are_pictures_of_their_own() -> None:
    urls = ["https://yt3.googleusercontent.com/a=w60-h60", "https://yt3.googleusercontent.com/a=w544-h544"]
    assert thumbnails.candidates({"thumbnails": [{"url": url} for url in urls]}) == urls[::-1]


@pytest.mark.parametrize(
    "info", [{}, {"thumbnails": None}, {"thumbnails": [{}]}, {"thumbnails": [{"url": "file:///etc"}]}]
)
def test_there_may_be_none(info: dict[str, Any]) -> None:
    assert thumbnails.candidates(info) == []


class Source:
    """Stands for YoutubeDL: what each address answers, or an Event to wait for first."""

    def __init__(self, **answers: bytes | Exception | threading.Event) -> None:
        self.answers = answers
        self.asked: list[str] = []

    @contextlib.contextmanager
    def urlopen(self, request: Any) -> Iterator[Source]:
        self.url = request.url.rpartition("/")[2]
        self.asked.append(self.url)
        answer = self.answers[self.url]
        if isinstance(answer, Exception):
            raise answer
        yield self

    def read(self, most: int) -> bytes:
        answer = self.answers[self.url]
        if isinstance(answer, threading.Event):
            answer.wait(20)
            return b""
        assert isinstance(answer, bytes)
        return answer[:most]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[list[Path | None]]:
    """What was told; files are in a folder of the test's."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield []
    os.chdir(before)


def urls(*names: str) -> list[str]:
    return [f"{BASE}/{name}" for name in names]


def test_the_first_that_is_a_picture_is_taken(told: list[Path | None], tmp_path: Path) -> None:
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 16_000, 16_000, 8, 2, 0, 0, 0)
    large = b"\xff\xd8" + b"x" * (thumbnails.MOST_BYTES + 1)
    source = Source(gone=OSError("404"), bomb=bomb, junk=b"junk", large=large, good=JPEG, better=JPEG)
    thumbnails.Fetch(source, urls("gone", "bomb", "junk", "large", "good", "better"), told.append).wait()
    assert told == [tmp_path / "thumbnail"] and source.asked == ["gone", "bomb", "junk", "large", "good"]
    assert (tmp_path / "thumbnail").read_bytes() == JPEG


def test_none_is_told_when_all_are_gone(told: list[Path | None]) -> None:
    thumbnails.Fetch(Source(a=OSError("404"), b=b""), urls("a", "b"), told.append).wait()
    assert told == [None]


def test_one_that_never_ends_is_given_up_and_never_told_of_again(
    told: list[Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "DEADLINE", 0.05)
    stuck = threading.Event()
    fetch = thumbnails.Fetch(Source(a=stuck, b=JPEG), urls("a", "b"), told.append)
    fetch.wait()
    assert told == [None]
    stuck.set()
    for thread in [one for one in threading.enumerate() if one.name == "cover"]:
        thread.join(SOON)
    assert told == [None]


def test_once_forgotten_nothing_is_told(told: list[Path | None]) -> None:
    stuck = threading.Event()
    fetch = thumbnails.Fetch(Source(a=stuck), urls("a"), told.append)
    fetch.forget()
    stuck.set()
    for thread in [one for one in threading.enumerate() if one.name == "cover"]:
        thread.join(SOON)
    assert told == []
