"""`backup` and `restore` with real processes, while servers run: the reference's way to another machine."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import requests
from support.commandline import started, ytmp3d
from support.serverprocess import ROOT, ServerProcess, until

pytestmark = pytest.mark.long  # four starts

#: As `serve --offline` lays its files.
SETTINGS = '[storage]\nstate = "state"\ndownloads = "downloads"\n'


def status(url: str, key: str) -> int:
    return requests.get(f"{url}/status", headers={"Authorization": f"Bearer {key}"}, timeout=60).status_code


def test_the_four_lines_bring_everything_to_another_machine(tmp_path: Path) -> None:
    text = (ROOT / "static" / "docs" / "keeping.md").read_text()
    lines = re.findall(r"^(?:old|new)\$ (.+)$", text, re.M)
    assert len(lines) == 4 and lines[1].startswith("scp ") and lines[2].startswith("pipx install ")
    backup, restore = shlex.split(lines[0])[1:], shlex.split(lines[3].removesuffix(" && ytmp3d serve"))[1:]
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    old, new = ServerProcess(tmp_path / "old"), ServerProcess(there / "ytmp3d")
    try:
        old.start()
        (tmp_path / "old" / "config.toml").write_text(SETTINGS)
        made = old.convert("plain-video")
        assert old.finished(made)["status"] == "completed"
        sound = old.download(made)
        done = ytmp3d(*backup, cwd=tmp_path / "old")
        assert done.returncode == 0 and "1 MP3s" in done.stderr, done
        assert old.status(made)["status"] == "completed", "it runs on"
        old.kill()
        here.mkdir()
        (tmp_path / "old" / "ytmp3d.tar").rename(here / "ytmp3d.tar")
        done = ytmp3d(*restore, cwd=here, XDG_CONFIG_HOME=str(there))
        assert done.returncode == 0 and "The backup is in place." in done.stderr, done
        assert (there / "ytmp3d" / "config.toml").read_text() == SETTINGS
        new.start()
        assert new.status(made)["status"] == "completed" and new.download(made) == sound
    finally:
        old.end()
        new.end()


def test_a_running_server_takes_a_backup_over_at_its_next_start(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.touch()

    def here(*arguments: object) -> str:
        done = ytmp3d(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done
        return (done.stdout or done.stderr).strip()

    anna = here("keys", "create", "anna")
    with started(tmp_path / "server", "--config", config, cwd=tmp_path) as server:
        assert status(server.url, anna) == 200
        here("backup", "b.tar.gz")
        ben = here("keys", "create", "ben")
        assert "Its next start takes the backup over" in here("restore", "b.tar.gz")
        until(lambda: status(server.url, ben) == 200)
        assert server.stop() == 0
    with started(tmp_path / "server", "--config", config, cwd=tmp_path) as server:
        assert "The backup is in place." in server.stderr
        assert (status(server.url, anna), status(server.url, ben)) == (200, 401)
    (aside,) = tmp_path.glob("keys.toml.before-restore.*")
    assert '"ben"' in aside.read_text()
    assert len(list((tmp_path / "state").glob("ytmp3d.db.before-restore.*"))) == 1
    assert not (tmp_path / "state" / "restore").exists()
