"""The page's texts as gzip: the same text, under conditions that fit, and only for clients that take it."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
from conftest import StartApi
from support.api import Api
from support.description import SPEC

from server.http import compressed, pages

GZIP = {"Accept-Encoding": "gzip, deflate, br"}
PLACES = ["/", "/docs", "/docs/youtube", "/openapi.json", "/static/app.js", "/static/style.css"]


@pytest.mark.parametrize("place", PLACES)
async def test_a_text_is_smaller_and_the_same(api: Api, place: str) -> None:
    plain, packed = [await api.get(place, key=None, headers=headers) for headers in ({}, GZIP)]
    assert "Content-Encoding" not in plain.headers and packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body and len(packed.body) < 0.6 * len(plain.body)
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["Content-Type"].split(";")[0] == packed.headers["Content-Type"].split(";")[0]
    assert packed.headers["ETag"] != plain.headers["ETag"] and packed.headers["Cache-Control"] == "no-cache"
    head = await api.request("HEAD", place, key=None, headers=GZIP)
    for name in ("Content-Length", "Content-Encoding", "ETag", "Content-Type", "Vary"):
        assert head.headers[name] == packed.headers[name]


@pytest.mark.parametrize("headers", [{}, GZIP])
async def test_a_client_that_has_it_is_told_so(api: Api, headers: dict[str, str]) -> None:
    etag = (await api.get("/openapi.json", key=None, headers=headers)).headers["ETag"]
    for known in (etag, f'"other", W/{etag}'):
        again = await api.get("/openapi.json", key=None, headers={**headers, "If-None-Match": known})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
        assert again.headers["Vary"] == "Accept-Encoding" and "Content-Encoding" not in again.headers
    stale = await api.get("/openapi.json", key=None, headers={**headers, "If-None-Match": '"other"'})
    assert stale.status == 200


async def test_a_range_is_of_the_text_itself(api: Api) -> None:
    whole = (await api.get("/openapi.json", key=None)).body
    part = await api.get("/openapi.json", key=None, headers={**GZIP, "Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, whole[10:20]) and "Content-Encoding" not in part.headers
    refused = await api.get("/openapi.json", key=None, headers={**GZIP, "If-Match": '"other"'})
    assert refused.code == "PRECONDITION_FAILED"


async def test_what_gains_nothing_is_sent_as_it_is(api: Api) -> None:
    answer = await api.get("/static/icon.svg", key=None, headers=GZIP)
    assert answer.status == 200
    if "Content-Encoding" in answer.headers:
        assert len(answer.body) < (pages.STATIC / "icon.svg").stat().st_size


async def test_a_file_that_changes_under_the_server_is_not_answered_from_before(
    start_api: StartApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "static"
    shutil.copytree(pages.STATIC, own, ignore=shutil.ignore_patterns("downloads"))
    monkeypatch.setattr(pages, "STATIC", own)
    api = await start_api()
    (own / "app.js").write_text("// another\n" * 50)
    answer = await api.get("/static/app.js", key=None, headers=GZIP)
    assert answer.body == b"// another\n" * 50 and "Content-Encoding" not in answer.headers
    (own / "app.js").unlink()
    assert (await api.get("/static/app.js", key=None, headers=GZIP)).code == "NOT_FOUND"


async def test_the_description_is_whole_for_a_client_that_takes_gzip(api: Api) -> None:
    answer = await api.get("/openapi.json", key=None, headers=GZIP)
    assert json.loads(gzip.decompress(answer.body)) == SPEC


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        *((one, True) for one in ("gzip", "GZIP", "br, gzip", "gzip;q=0.1", "gzip; q=1.0", "deflate,gzip;q=0.001")),
        *((one, False) for one in ("", "identity", "br", "gzip;q=0", "gzip; q=0.000", "xgzip", "gzip2", "*;q=0")),
    ],
)
def test_what_a_client_takes(accepted: str, takes: bool) -> None:
    assert compressed.takes_gzip(accepted) is takes
