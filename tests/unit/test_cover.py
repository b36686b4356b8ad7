"""The cover out of every kind of thumbnail, made by the real ffmpeg; see test_picture.py for what it rests on."""

from __future__ import annotations

import base64
import struct
import subprocess
import zlib
from pathlib import Path

import imageio_ffmpeg
import pytest

from server.media import confinement, cover, picture, process, tools
from server.media.picture import Header

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
#: 48 x 32, red on the left, blue on the right.
CMYK = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAUDg8SDw0UEhASFxUUGB4yIR4cHB49LC4kMklATEtHQEZFUFpzYlBVbVZFRmSIZW13e4GCgU5gjZeMfZZzfoF8"
    "/8AAFAgAIAAwBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAAHBv/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAOBEMATQBZAEsAAD8A2bOM"
    "42YAAJSKsAAAqwlIAACUirAAAKsJSAAAlIqwAACrCUgAAJSKsAAA/9k="
)
PROGRESSIVE = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVkVGZIhlbXd7gYKBTmCNl4x9lnN+"
    "gXz/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHz/wgARCAAgADADASIAAhEB"
    "AxEB/8QAFgABAQEAAAAAAAAAAAAAAAAAAAQD/8QAFgEBAQEAAAAAAAAAAAAAAAAABAUD/9oADAMBAAIQAxAAAAHIYVE9E7hg0lAiV09E7hg0n//EABQQ"
    "AQAAAAAAAAAAAAAAAAAAAED/2gAIAQEAAQUCR//EABcRAAMBAAAAAAAAAAAAAAAAAAQQQQD/2gAIAQMBAT8BxUZUX//EABcRAAMBAAAAAAAAAAAAAAAA"
    "AAQQQQD/2gAIAQIBAT8BwlYlX//EABQQAQAAAAAAAAAAAAAAAAAAAED/2gAIAQEABj8CR//EABQQAQAAAAAAAAAAAAAAAAAAAED/2gAIAQEAAT8hR//a"
    "AAwDAQACAAMAAAAQBV+BV+//xAAWEQEBAQAAAAAAAAAAAAAAAADBEAD/2gAIAQMBAT8QylUn/8QAFhEBAQEAAAAAAAAAAAAAAAAAwRAA/9oACAECAQE/"
    "EMbTZ//EABQQAQAAAAAAAAAAAAAAAAAAAED/2gAIAQEAAT8QR//Z"
)
MOVING_WEBP = base64.b64decode(
    "UklGRqAAAABXRUJQVlA4WAoAAAACAAAALwAAHwAAQU5JTQYAAAAAAAAAAABBTk1GNgAAAAAAAAAAAC8AAB8AAGQAAAJWUDhMHQAAAC8vwAcADzAoR7l+"
    "yv/8RwvEgsn8pTPojuh/VBgHAEFOTUY2AAAAAAAAAAAALwAAHwAAZAAAAFZQOEwdAAAALy/ABwAPMChHuX7K//xHC8SCSf7SM+iO6H9UGAcA"
)
#: An upright bit of Exif that asks for a quarter turn.
TURNED = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def drawn(folder: Path, graph: str, *options: str, suffix: str = "jpg") -> bytes:
    """What ffmpeg draws, as a file."""
    path = folder / f"drawn.{suffix}"
    command = [FFMPEG, "-v", "error", "-y", "-f", "lavfi", "-i", graph, "-frames:v", "1", *options, str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path.read_bytes()


async def made(folder: Path, content: bytes) -> bytes:
    """The cover of a thumbnail with this content."""
    (folder / "thumbnail").write_bytes(content)
    confined = confinement.of_tool(FFMPEG, file_size=1 << 24).with_folder(folder)
    await cover.make(FFMPEG, folder / "thumbnail", folder / "cover.jpg", confined, timeout=30)
    return (folder / "cover.jpg").read_bytes()


def edge(content: bytes) -> int:
    header = picture.header(content)
    assert header and header.format == "jpeg" and header.width == header.height
    return header.width


def colours(content: bytes, columns: int = 1, rows: int = 1) -> list[tuple[int, int, int]]:
    """The mean colours of so many columns and rows."""
    command = [FFMPEG, "-v", "error", "-i", "pipe:0", "-vf", f"scale={columns}:{rows}:flags=area,format=rgb24"]
    command += ["-f", "rawvideo", "pipe:1"]
    pixels = subprocess.run(command, input=content, capture_output=True, check=True, timeout=30).stdout
    return [(pixels[at], pixels[at + 1], pixels[at + 2]) for at in range(0, len(pixels), 3)]


def is_red_then_blue(content: bytes) -> bool:
    (red, _, less_blue), *_, (less_red, _, blue) = colours(content, 4)
    return red > 180 > less_red and blue > 180 > less_blue


RED_AND_BLUE = "color=red:s=640x720,pad=1280:720:0:0:blue"


@pytest.mark.parametrize(
    ("options", "suffix"),
    [
        *(((), "jpg"), (("-pix_fmt", "yuvj444p"), "jpg"), ((), "png"), (("-pix_fmt", "rgb48be"), "png")),
        *(
            (("-pix_fmt", "pal8"), "png"),
            (("-c:v", "libwebp"), "webp"),
            (("-c:v", "libwebp", "-lossless", "1"), "webp"),
        ),
    ],
)
async def test_every_format_becomes_the_middle_square(tmp_path: Path, options: tuple[str, ...], suffix: str) -> None:
    content = await made(tmp_path, drawn(tmp_path, RED_AND_BLUE, *options, suffix=suffix))
    assert edge(content) == 720 and is_red_then_blue(content)


@pytest.mark.parametrize("content", [CMYK, PROGRESSIVE, MOVING_WEBP], ids=["cmyk", "progressive", "moving"])
async def test_odd_ones_are_read_too(tmp_path: Path, content: bytes) -> None:
    content = await made(tmp_path, content)
    assert edge(content) == 32 and is_red_then_blue(content)


async def test_nothing_is_turned_round(tmp_path: Path) -> None:
    upright = drawn(tmp_path, RED_AND_BLUE)
    assert is_red_then_blue(await made(tmp_path, upright[:2] + TURNED + upright[2:]))


@pytest.mark.parametrize(
    ("graph", "size"),
    [
        ("testsrc2=s=1280x720", 720),
        ("testsrc2=s=720x1280", 720),
        ("testsrc2=s=3840x2160", 1000),
        ("testsrc2=s=120x90", 90),
        ("testsrc2=s=333x77", 77),
        ("testsrc2=s=480x270,pad=480:360:0:45", 266),
        ("testsrc2=s=720x720,pad=1280:720:280:0", 720),
        ("testsrc2=s=1280x536,pad=1280:720:0:92", 520),
        ("color=black:s=1280x720", 720),
    ],
)
async def test_the_cover_is_as_large_as_the_picture_has_it(tmp_path: Path, graph: str, size: int) -> None:
    assert edge(await made(tmp_path, drawn(tmp_path, graph))) == pytest.approx(size, abs=8)


@pytest.mark.parametrize(
    "graph",
    [
        "color=white:s=480x270,pad=480:360:0:45",
        "color=white:s=640x360,pad=640:480:0:60",
        "color=white:s=1280x536,pad=1280:720:0:92",
        "color=white:s=405x720,pad=1280:720:437:0",
        "color=white:s=271x271,pad=480:360:104:44",
    ],
)
@pytest.mark.parametrize("suffix", ["jpg", "webp"])
async def test_not_a_line_of_a_bar_is_left(tmp_path: Path, graph: str, suffix: str) -> None:
    thumbnail = drawn(tmp_path, graph, *(("-q:v", "9") if suffix == "jpg" else ("-quality", "40")), suffix=suffix)
    content = await made(tmp_path, thumbnail)
    size = edge(content)
    assert min(min(colour) for colour in colours(content, size, size)) > 150


async def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    graph = "color=black@0:s=600x600,format=rgba,drawbox=x=200:y=200:w=200:h=200:color=red:t=fill:replace=1"
    for suffix in ("png", "webp"):
        corner, *_, centre, _, _, _, _ = colours(await made(tmp_path, drawn(tmp_path, graph, suffix=suffix)), 3, 3)
        assert min(corner) > 240 and centre[0] > 200 > 60 > centre[1]


@pytest.mark.parametrize(
    "content",
    [
        b"no picture",
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 16_000, 16_000, 8, 2, 0, 0, 0),
        b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x01\x00\x01\x03",
    ],
)
async def test_what_the_header_forbids_reaches_no_decoder(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match="no picture"):
        await made(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8\xff\xc0\x00\x11\x08\x01\x00\x01\x00\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00" + b"\0" * 500,
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 100, 100, 8, 2, 0, 0, 0) + b"\0" * 500,
    ],
    ids=["jpeg", "png"],
)
async def test_what_cannot_be_decoded_is_a_failed_child(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(process.ChildFailed):
        await made(tmp_path, content)


async def test_the_decoder_refuses_pixels_that_the_header_did_not_tell(tmp_path: Path) -> None:
    """A canvas of 100 x 100 whose one frame has 16,000 x 16,000."""
    frame = b"\x2f" + struct.pack("<I", 15_999 | 15_999 << 14) + b"\x88\x88\x08" + b"\0" * 50
    body = (
        struct.pack("<4sI", b"VP8X", 10)
        + b"\0\0\0\0\x63\0\0\x63\0\0"
        + struct.pack("<4sI", b"VP8L", len(frame))
        + frame
    )
    content = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    assert picture.header(content) == Header("webp", 100, 100)
    with pytest.raises(process.ChildFailed):
        await made(tmp_path, content)


async def test_the_decoder_may_not_take_all_memory(tmp_path: Path) -> None:
    """The same bomb, had nobody looked at its header or counted its pixels."""
    rows = zlib.compress(bytes((1 + 16_000 * 3) * 2000), 1)
    path = tmp_path / "bomb.png"
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 16_000, 16_000, 8, 2, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    )
    command = [FFMPEG, "-v", "error", "-f", "png_pipe", "-i", str(path), "-f", "null", "-"]
    with pytest.raises(process.ChildFailed) as caught:
        confined = confinement.of_tool(FFMPEG, file_size=0, memory=256 << 20)
        await tools.run(command, confined.with_folder(tmp_path), timeout=60)
    assert "allocate" in caught.value.stderr or "emory" in caught.value.stderr, caught.value.stderr
