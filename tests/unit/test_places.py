"""Where things lie: one answer for every command, whatever the folder it is typed in."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.places import Places, find


class Box:
    """A made-up machine: the folder somebody stands in, a home, and a /etc of its own."""

    def __init__(self, folder: Path) -> None:
        self.here, self.home, self.system = folder / "here", folder / "home", folder / "etc" / "ytmp3d"
        self.user = self.home / ".config" / "ytmp3d"
        for one in (self.here, self.user, self.system):
            one.mkdir(parents=True)

    def find(self, option: Path | None = None, **environment: str) -> Places:
        return find(option, {"HOME": str(self.home), **environment}, here=self.here, system=self.system)

    def of_user(self, file: Path | None) -> Places:
        local = self.home / ".local"
        state, downloads = local / "state" / "ytmp3d", local / "share" / "ytmp3d" / "downloads"
        return Places(file, self.user / "keys.toml", state, downloads)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def beside(file: Path, *, named: bool = False) -> Places:
    folder = file.parent
    return Places(file, folder / "keys.toml", folder / "state", folder / "static/downloads", named)


def within(file: Path | None, folder: Path, *, named: bool = False) -> Places:
    return Places(file, folder / "keys.toml", folder / "state", folder / "downloads", named)


def test_the_first_file_there_is_is_taken(box: Box, tmp_path: Path) -> None:
    for file in (box.here / "config.toml", box.user / "config.toml", box.system / "config.toml"):
        file.touch()
    variable = str(tmp_path / "v" / "config.toml")
    option = tmp_path / "o" / "mine.toml"
    assert box.find(option, YTMP3D_CONFIG=variable) == beside(option, named=True)
    assert box.find(YTMP3D_CONFIG=variable) == beside(Path(variable))
    assert box.find() == beside(box.here / "config.toml")
    (box.here / "config.toml").unlink()
    assert box.find() == box.of_user(box.user / "config.toml")
    (box.user / "config.toml").unlink()
    assert box.find() == within(box.system / "config.toml", Path("/var/lib/ytmp3d"))
    (box.system / "config.toml").unlink()
    assert box.find() == box.of_user(None)


def test_the_systems_and_the_users_file_mean_the_same_places_when_they_are_named(box: Box) -> None:
    for file in (box.user / "config.toml", box.system / "config.toml"):
        file.touch()
    named = box.find(box.system / "config.toml")
    assert named == within(box.system / "config.toml", Path("/var/lib/ytmp3d"), named=True)
    assert box.find(YTMP3D_CONFIG=str(box.user / "config.toml")) == box.of_user(box.user / "config.toml")


def test_the_folders_of_the_xdg_specification_can_be_elsewhere(box: Box) -> None:
    found = box.find(XDG_CONFIG_HOME="/c", XDG_STATE_HOME="/s", XDG_DATA_HOME="/d")
    assert found == Places(None, Path("/c/ytmp3d/keys.toml"), Path("/s/ytmp3d"), Path("/d/ytmp3d/downloads"))
    assert box.find(XDG_CONFIG_HOME="c", XDG_STATE_HOME="") == box.of_user(None), "relative ones do not count"


@pytest.mark.parametrize("given", ["/srv/ytmp3d", "/srv/ytmp3d:/srv/other"])
def test_a_service_keeps_its_files_in_its_state_directory(box: Box, given: str) -> None:
    assert box.find(STATE_DIRECTORY=given) == within(None, Path("/srv/ytmp3d"))
    (box.system / "config.toml").touch()
    assert box.find(STATE_DIRECTORY=given) == within(box.system / "config.toml", Path("/srv/ytmp3d"))
    (box.here / "config.toml").touch()
    assert box.find(STATE_DIRECTORY=given) == beside(box.here / "config.toml")


@pytest.mark.parametrize("left", ["keys.toml", "state/ytmp3d.db"])
def test_what_an_older_release_left_in_this_folder_is_still_used(box: Box, left: str) -> None:
    (box.here / left).parent.mkdir(exist_ok=True)
    (box.here / left).touch()
    folder = box.here
    assert box.find() == Places(None, folder / "keys.toml", folder / "state", folder / "static/downloads")
    (box.user / "config.toml").touch()
    assert box.find() == box.of_user(box.user / "config.toml")
