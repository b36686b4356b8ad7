"""The page "YouTube asks for proof" names codes, settings, commands and warnings that there are."""

from __future__ import annotations

import html
import re
import tomllib
from pathlib import Path

import pytest

from server import errors
from server.app import ROUTES
from server.commands.cli import parser
from server.config import Config
from server.http.pages import STATIC
from server.media import ytdlp
from server.media.cookies import Cookies

PAGE = (STATIC / "youtube.html").read_text(encoding="utf-8")
CODE = [html.unescape(found) for found in re.findall(r"<code>(.*?)</code>", PAGE, re.DOTALL)]
TEXT = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", PAGE)).split())
#: What only some viewers may see: no fault of the server's, but the owner can do something about it.
OF_VIDEO = {"AGE_RESTRICTED", "MEMBERS_ONLY", "PAYMENT_REQUIRED", "VIDEO_PRIVATE", "GEO_BLOCKED", "DRM_PROTECTED"}


def test_it_explains_every_code_of_a_source_that_refuses_and_no_other() -> None:
    explained = re.findall(r'<tr><th scope="row"><code>([A-Z_]+)</code>', PAGE)
    of_source = {code for code, error in errors.JOB_ERRORS.items() if error.of_source}
    assert len(explained) == len(set(explained))
    assert set(explained) == of_source | OF_VIDEO | {"VIDEO_UNAVAILABLE"}
    assert {one for one in CODE if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", one)} <= set(explained)


def test_every_setting_that_it_names_is_one_and_takes_that_value() -> None:
    named = [found for one in CODE if (found := re.fullmatch(r"\[(\w+)\] (\w+)( = .+)?", one))]
    assert {found[1] for found in named} == {"jobs", "log", "storage", "ytdlp"}
    for section, key, value in (found.groups() for found in named):
        (field,) = (one for one in Config().sections[section].__dataclass_fields__.values() if one.name == key)
        if value:
            assert tomllib.loads(key + value)[key] in field.metadata["choices"]


def test_every_command_and_route_that_it_names_is_one() -> None:
    for one in CODE:
        if one.startswith(("ytmp3d ", "doctor")):
            words = one.removeprefix("ytmp3d ").split()
            assert parser().parse_args([word.replace("URL", "https://youtu.be/x") for word in words])
        if one.startswith("GET "):
            assert one.removeprefix("GET ") in {path for _, path, _ in ROUTES}


def test_the_options_that_it_names_may_be_set() -> None:
    (example,) = (tomllib.loads(one) for one in CODE if one.startswith("[ytdlp]\n"))
    assert example["ytdlp"]["args"][0] == "--extractor-args" and "extractor_args" in ytdlp.OPERATOR_MAY_SET
    assert '"--sleep-requests", "2"' in CODE and "sleep_interval_requests" in ytdlp.OPERATOR_MAY_SET


def test_the_warnings_that_it_quotes_are_those_of_the_server(tmp_path: Path) -> None:
    cookies = Cookies(tmp_path, tmp_path)
    for quoted, warning in (("cookies spoiled", cookies._spoil), ("cookies no longer valid", cookies._refusal)):
        assert f"“{quoted}”" in TEXT and warning.startswith(quoted)


@pytest.mark.parametrize("target", re.findall(r'href="#(.*?)"', PAGE))
def test_every_link_inside_it_leads_somewhere(target: str) -> None:
    assert f'id="{target}"' in PAGE


def test_the_reference_and_the_readme_lead_to_it() -> None:
    assert 'href="docs/youtube"' in (STATIC / "docs.html").read_text()
    assert "`/docs/youtube`" in (STATIC / "docs" / "server.md").read_text()
