"""An hour of audio: by far the longest test."""

from __future__ import annotations

import pytest
from conftest import NewServer


@pytest.mark.long
@pytest.mark.xdist_group("tests/system/test_offline.py")  # which xdist begins with: it has the most tests
def test_an_hour_of_audio(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    done = server.finished(server.convert("x-one-hour-", "low"), 900)
    assert done["status"] == "completed", done["error"]
    assert done["file_size"] == pytest.approx(3600 * 16_000, rel=0.01)
