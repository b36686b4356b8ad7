"""A picture's header is read before any decoder sees it; black bars are cut, dark pictures are not."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.media import picture
from server.media.picture import Box, Header


def jpeg(width: int, height: int, *, kind: int = 0xC0, before: bytes = b"") -> bytes:
    return b"\xff\xd8" + before + struct.pack(">BBHBHHB", 0xFF, kind, 17, 8, height, width, 3) + b"\1\x11\0" * 3


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)


def webp(kind: bytes, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBP" + kind + struct.pack("<I", len(body)) + body


def webp_extended(width: int, height: int, flags: int = 0) -> bytes:
    return webp(
        b"VP8X", bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )


SEGMENT = b"\xff\xe1\x00\x08Exif\0\0"


@pytest.mark.parametrize(
    ("content", "header"),
    [
        (jpeg(1280, 720), Header("jpeg", 1280, 720)),
        (jpeg(1280, 720, kind=0xC2), Header("jpeg", 1280, 720)),
        (jpeg(640, 480, before=SEGMENT + b"\xff\xff\xff\xdb\x00\x03x"), Header("jpeg", 640, 480)),
        (jpeg(640, 480, before=b"\xff\xc4\x00\x05abc"), Header("jpeg", 640, 480)),
        (jpeg(640, 480, before=b"\xff\xe0\x00\x00"), Header("jpeg", 640, 480)),
        (png(16_000, 16_000), Header("png", 16_000, 16_000)),
        (
            webp(b"VP8 ", b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<HH", 1280, 720 | 0x4000)),
            Header("webp", 1280, 720),
        ),
        (webp(b"VP8L", b"\x2f" + struct.pack("<I", 1279 | 719 << 14 | 1 << 28)), Header("webp", 1280, 720)),
        (webp_extended(1280, 720, 0x10), Header("webp", 1280, 720)),
        (webp_extended(16_777_216, 1, 0x02), Header("webp_anim", 16_777_216, 1)),
    ],
)
def test_a_header_tells_format_and_size(content: bytes, header: Header) -> None:
    assert picture.header(content + b"\0" * 20) == header
    for end in range(len(content) - 12):
        assert picture.header(content[:end]) is None or content[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"\xff\xd8",
            b"\xff\xd8\xff",
            b"\xff\xd8\xff\xd9",
            b"\xff\xd8\xff\xda\x00\x08",
            b"\xff\xd8\xff" + b"\0" * 99,
            b"\xff\xd8" + b"\xff" * (1 << 20) + jpeg(640, 480)[2:],
        ),
        *(
            b"GIF89a" + b"\1" * 50,
            b"BM" + b"\1" * 50,
            b"II*\0" + b"\1" * 50,
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        ),
        *(b"\0\0\0\x20ftypavif" + b"\1" * 50, b"\xff\x0a" + b"\1" * 50, b"#EXTM3U\nhttp://127.0.0.1/", b"<html>" * 9),
        *(
            webp(b"ALPH", b"\1" * 30),
            webp(b"VP8 ", b"\1" * 30),
            webp(b"VP8L", b"\1" * 30),
            b"RIFF\0\0\0\0WAVE" + b"\1" * 30,
        ),
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIDAT" + b"\1" * 30,
    ],
)
def test_anything_else_is_no_picture(content: bytes) -> None:
    assert picture.header(content) is None


@given(st.sampled_from([b"", b"\xff\xd8\xff", png(3, 4), jpeg(3, 4), webp_extended(3, 4)]), st.binary(max_size=200))
def test_no_bytes_break_the_reader(start: bytes, rest: bytes) -> None:
    picture.header(start + rest)
    picture.header(start[:-5] + rest)


@pytest.mark.parametrize(
    ("width", "height", "acceptable"),
    [
        *((1280, 720, True), (3840, 2160, True), (120, 90, True), (720, 1280, True), (32, 32, True)),
        *((16_000, 16_000, False), (3841, 2160, False), (1, 1, False), (1280, 8, False), (0, 0, False)),
        (65_535, 65_535, False),
    ],
)
def test_neither_a_bomb_nor_a_dot_is_a_cover(width: int, height: int, acceptable: bool) -> None:
    assert Header("png", width, height).acceptable is acceptable


WIDTH, HEIGHT = 480, 360


def grey(
    box: Box, *, width: int = WIDTH, height: int = HEIGHT, bar: int = 2, least: int = 30, most: int = 250
) -> bytes:
    """Noise in `box`, and bars of a little noise around."""
    draw = random.Random(1)
    return bytes(
        draw.randint(least, most) if box.left <= x < box.right and box.top <= y < box.bottom else draw.randint(0, bar)
        for y in range(height)
        for x in range(width)
    )


@pytest.mark.parametrize(
    ("box", "square"),
    [
        (Box(0, 0, 480, 360), Box(60, 0, 420, 360)),  # no bars
        (Box(0, 45, 480, 315), Box(107, 47, 373, 313)),  # 16:9 in 4:3
        (Box(0, 44, 480, 316), Box(106, 46, 374, 314)),
        (Box(0, 43, 480, 316), Box(105, 45, 374, 314)),  # not quite in the middle
        (Box(60, 0, 420, 360), Box(60, 0, 420, 360)),  # a square between bars: the middle square anyway
        (Box(30, 0, 450, 360), Box(60, 0, 420, 360)),
        (Box(105, 45, 375, 315), Box(107, 47, 373, 313)),  # a square, in 16:9, in 4:3
        (Box(140, 0, 340, 360), Box(142, 82, 338, 278)),  # a portrait
        (Box(0, 80, 480, 280), Box(142, 82, 338, 278)),  # a wide film
    ],
)
def test_black_bars_are_cut_before_the_square(box: Box, square: Box) -> None:
    found = picture.square(grey(box, bar=12), WIDTH, HEIGHT)
    assert found == square
    assert box.left <= found.left and found.right <= box.right and box.top <= found.top and found.bottom <= box.bottom


UNCUT = Box(60, 0, 420, 360)


@pytest.mark.parametrize(
    "box",
    [
        Box(0, 45, 480, 360),  # a black sky, no bar: there is none below
        Box(0, 30, 480, 315),  # neither
        Box(0, 150, 480, 210),  # a strip on black
        Box(180, 140, 300, 220),  # a logo on black
        Box(0, 0, 0, 0),  # all black
    ],
)
def test_a_dark_picture_stays_as_it_is(box: Box) -> None:
    assert picture.square(grey(box), WIDTH, HEIGHT) == UNCUT


def test_a_dim_picture_stays_as_it_is() -> None:
    assert picture.square(grey(Box(0, 45, 480, 315), least=0, most=20), WIDTH, HEIGHT) == UNCUT


def test_words_on_black_stay_as_they_are() -> None:
    words = bytearray(grey(Box(0, 0, 0, 0)))
    draw = random.Random(2)
    for y in range(140, 220):
        for x in range(40, 440):
            if draw.random() < 0.25:
                words[y * WIDTH + x] = 255
    assert picture.square(bytes(words), WIDTH, HEIGHT) == UNCUT


def test_a_light_that_fades_to_black_stays_as_it_is() -> None:
    fading = bytes(
        max(0, int(200 - abs(y - HEIGHT / 2) * 1.5 - abs(x - WIDTH / 2) * 0.5))
        for y in range(HEIGHT)
        for x in range(WIDTH)
    )
    assert picture.square(fading, WIDTH, HEIGHT) == UNCUT


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 480), (480, 1), (2, 3), (480, 270), (270, 480)])
def test_any_shape_has_a_square(width: int, height: int) -> None:
    for content in (bytes(width * height), b"\xff" * (width * height)):
        box = picture.square(content, width, height)
        assert box.right - box.left == box.bottom - box.top == min(width, height)
