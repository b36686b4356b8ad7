"""A pipe can't be rewound: what comes twice is handed on once, what differs or has no end is refused."""

from __future__ import annotations

import io
import os
import random

import pytest

from server.media.download import HEAD_BYTES, IDLE_REQUESTS, Outlet, Refused

SOURCE = random.Random(1).randbytes(100_000)


def written(outlet: Outlet, data: bytes, step: int = 7_001) -> None:
    for start in range(0, len(data), step):
        outlet.write(data[start : start + step])


@pytest.fixture
def pipe() -> io.BytesIO:
    return io.BytesIO()


@pytest.mark.parametrize("breaks", [[1], [40_000], [99_999], [100_000], [0, 40_000, 20_000, 60_000]])
def test_what_is_begun_again_is_handed_on_once(pipe: io.BytesIO, breaks: list[int]) -> None:
    outlet = Outlet(pipe)
    for place in breaks:
        written(outlet, SOURCE[:place])
        outlet.begin_again()
    written(outlet, SOURCE)
    outlet.end()
    assert pipe.getvalue() == SOURCE
    assert (outlet.sent, outlet.position, outlet.received) == (100_000, 100_000, 100_000 + sum(breaks))


def test_other_bytes_under_the_same_name_are_refused(pipe: io.BytesIO) -> None:
    outlet = Outlet(pipe)
    written(outlet, SOURCE[:50_000])
    outlet.begin_again()
    other = bytearray(SOURCE)
    other[30_000] ^= 1
    with pytest.raises(Refused) as refused:
        written(outlet, bytes(other))
    assert refused.value.code == "TRUNCATED"
    assert pipe.getvalue() == SOURCE[:50_000]


def test_a_second_time_that_ends_sooner_is_refused(pipe: io.BytesIO) -> None:
    outlet = Outlet(pipe)
    written(outlet, SOURCE[:50_000])
    outlet.begin_again()
    written(outlet, SOURCE[:20_000])
    with pytest.raises(Refused, match="20000 of 50000"):
        outlet.end()


def test_no_more_is_taken_than_may_come_nor_handed_on_than_there_is(pipe: io.BytesIO) -> None:
    outlet = Outlet(pipe)
    outlet.most = (60_000, "TOO_LARGE")
    with pytest.raises(Refused) as refused:
        written(outlet, SOURCE)
    assert refused.value.code == "TOO_LARGE" and len(pipe.getvalue()) <= 60_000

    outlet = Outlet(io.BytesIO())
    outlet.size_limit = (60_000, "OVERSIZED")
    with pytest.raises(Refused) as refused:
        written(outlet, SOURCE)
    assert refused.value.code == "OVERSIZED" and outlet.sent <= 60_000


def test_what_would_be_too_much_can_be_foreseen(pipe: io.BytesIO) -> None:
    outlet = Outlet(pipe)
    outlet.most = (60_000, "TOO_LARGE")
    outlet.write(bytes(50_000))
    outlet.foresee(10_000)
    with pytest.raises(Refused):
        outlet.foresee(10_001)


@pytest.mark.parametrize("length", [1, HEAD_BYTES - 1, HEAD_BYTES, 100_000])
def test_the_first_bytes_are_shown_once(pipe: io.BytesIO, length: int) -> None:
    shown: list[bytes] = []
    outlet = Outlet(pipe)
    outlet.on_head = shown.append
    written(outlet, SOURCE[:length], 100)
    outlet.end()
    assert shown == [SOURCE[: min(length, HEAD_BYTES)]]


def test_a_closed_pipe_is_an_os_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb", buffering=0) as broken, pytest.raises(BrokenPipeError):
        Outlet(broken).write(b"x")


def test_asking_again_and_again_for_nothing_ends(pipe: io.BytesIO) -> None:
    outlet = Outlet(pipe)
    for _ in range(5):
        for _ in range(IDLE_REQUESTS):
            outlet.note_request()
        outlet.write(b"x")
    with pytest.raises(Refused):
        for _ in range(IDLE_REQUESTS + 2):
            outlet.note_request()
