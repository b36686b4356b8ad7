"""What is around the server gives way: it heals, or says what is wrong where, and loses nothing that was accepted."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from conftest import NewServer
from support.refusals import refusing

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
