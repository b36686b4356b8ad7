"""The pytest plugin, which comes with ytmp3d: fixtures for tests of a client.

pytest imports this in every run, so whatever it needs is imported once a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .offline_server import OfflineServer


@pytest.fixture(scope="session")
def ytmp3d_settings() -> str:
    """The server's settings, as in `config.toml`; override it to change them."""
    return ""


@pytest.fixture(scope="session")
def ytmp3d_process(ytmp3d_settings: str) -> Iterator[OfflineServer]:
    """The server behind `ytmp3d_server`, for fixtures that live for the session. Under xdist each worker has one."""
    from .offline_server import NotStarted, offline_server

    try:
        with offline_server(ytmp3d_settings) as server:
            yield server
    except NotStarted as problem:
        pytest.fail(str(problem), pytrace=False)


@pytest.fixture
def ytmp3d_server(ytmp3d_process: OfflineServer) -> Iterator[OfflineServer]:
    """An offline server with `url`, `key`, `rule`, `requests`, `reset`, `another_key`. Each test finds it new."""
    yield ytmp3d_process
    ytmp3d_process.reset()
