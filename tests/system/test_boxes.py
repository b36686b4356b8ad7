"""Two servers behind the nginx of `deploy nginx --box`: unchanged clients, and each has its own keys' work."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import NewServer
from support import proxies
from support.commandline import ytmp3d
from support.proxies import free_port
from support.serverprocess import ServerProcess, until

from server.access import key_file

pytestmark = pytest.mark.long


def test_each_key_has_its_box_and_one_that_is_away_takes_only_its_own_work_along(
    new_server: NewServer, tmp_path: Path
) -> None:
    shared = tmp_path / "keys.toml"
    keys = [key_file.create(shared, f"client-{number}", {}) for number in range(16)]
    boxes: dict[str, ServerProcess] = {}
    for name in ("first", "second"):
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        boxes[url] = server = new_server(f'[server]\npublic_url = "{url}"\n', folder=tmp_path / name)
        server.fixed_port = port
        (tmp_path / name).mkdir(exist_ok=True)
        shutil.copy(shared, tmp_path / name)
        server.start()
    front = free_port()
    named = [word for url in boxes for word in ("--box", url.removeprefix("http://"))]
    site = ytmp3d("deploy", "nginx", "--public-url", "http://localhost", *named, cwd=tmp_path).stdout
    with proxies.nginx(tmp_path, site, front, None):

        def call(method: str, path: str, key: str, **body: Any) -> requests.Response:
            url, head = f"http://127.0.0.1:{front}{path}", {"Authorization": f"Bearer {key}"}
            return requests.request(method, url, json=body or None, headers=head, timeout=60)

        def finished(key: str, conversion_id: str) -> Any:
            return until(lambda: (now := call("GET", f"/status/{conversion_id}", key).json())["finished_at"] and now)

        ours: dict[str, tuple[str, str]] = {}  # by box: a key that it serves, and a conversion
        for key in keys:
            answer = call("POST", "/convert", key, url="https://youtu.be/some-video-").json()
            ours.setdefault(answer["download_url"].partition("/static")[0], (key, answer["conversion_id"]))
        assert ours.keys() == boxes.keys(), "each has some of sixteen keys"
        for key, conversion in ours.values():
            assert requests.get(finished(key, conversion)["download_url"], timeout=60).content
        away, here = boxes
        (key, conversion), (other, its_own) = ours[away], ours[here]
        running = call("POST", "/convert", key, url="https://youtu.be/x-slow-----").json()["conversion_id"]
        boxes[away].kill()
        refused = call("GET", f"/status/{conversion}", key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "SHUTTING_DOWN")
        assert refused.headers["Retry-After"] == "5" and refused.headers["Content-Type"] == "application/json"
        assert call("GET", f"/status/{its_own}", other).json()["status"] == "completed"
        assert call("POST", "/convert", other, url="https://youtu.be/other-video").status_code == 200
        boxes[away].start()
        assert finished(key, running)["status"] == finished(key, conversion)["status"] == "completed"
