"""The description (static/openapi.json) is complete and true: it says what the code does, and all of it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.api import link, serving
from support.description import SCHEMAS, SPEC, documented_codes, resolved, validate

from server import __version__, errors, levels, youtube_url
from server.clip import LONGEST
from server.config import Config, JobsConfig, LimitsConfig
from server.http import api, events, request_body, request_options
from server.jobs import Quality, Status
from server.media import id3
from server.offline import keys as offline_keys
from server.webhooks import address, webhooks

#: Where there is no operation that could document it.
OF_NO_OPERATION = {"METHOD_NOT_ALLOWED"}
#: The API, which is what needs a key.
WITH_KEY = {
    "/convert",
    "/batch-convert",
    "/playlist",
    "/archives",
    "/retry",
    "/status",
    "/status/{conversion_id}",
    "/status/{conversion_id}/events",
    "/events",
}


def operations() -> Iterator[tuple[str, str, Any]]:
    for path, item in SPEC["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def answers() -> Iterator[tuple[str, str, str, Any]]:
    for method, path, operation in operations():
        for status, answer in operation["responses"].items():
            yield method, path, status, resolved(answer)


def test_the_description_is_valid_openapi_3_1() -> None:
    assert SPEC["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(SPEC).validate()


def test_it_describes_this_version() -> None:
    assert SPEC["info"]["version"] == __version__


async def test_its_addresses_are_the_applications_routes(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        routes = {
            (route.method, route.resource.canonical) for route in api.app.router.routes() if route.resource is not None
        }
    described = {(method, path) for method, path, _ in operations()}
    gets = {path for method, path in described if method == "GET"}
    heads = {("HEAD", path) for path in gets if not path.endswith("/events")}
    assert described | heads == routes


def test_its_request_errors_are_the_catalogues() -> None:
    described = SPEC["x-error-codes"]["request"]
    assert {code: one["status"] for code, one in described.items()} == {
        code: error.status for code, error in errors.REQUEST_ERRORS.items()
    }
    assert all(one["meaning"].endswith(".") for one in described.values())


def test_its_job_errors_are_the_catalogues() -> None:
    described = SPEC["x-error-codes"]["job"]
    assert {code: (one["retryable"], one["message"]) for code, one in described.items()} == {
        code: (error.retryable, error().message) for code, error in errors.JOB_ERRORS.items()
    }
    assert all(one["meaning"].endswith(".") for one in described.values())


def test_its_schemas_know_every_code() -> None:
    of_answers = SCHEMAS["Error"]["properties"]["error"]["properties"]["code"]["enum"]
    assert sorted(of_answers) == sorted(errors.REQUEST_ERRORS.keys() | errors.JOB_ERRORS.keys())
    assert sorted(SCHEMAS["JobError"]["properties"]["code"]["enum"]) == sorted(errors.JOB_ERRORS)


def test_every_request_error_is_an_answer_of_some_operation_under_its_status() -> None:
    found = set()
    for method, path, status, answer in answers():
        for code in documented_codes(answer):
            error = errors.REQUEST_ERRORS.get(code)
            if error is None:
                assert (path, status) == ("/static/downloads/{conversion_id}.mp3", "404"), code
                continue
            assert status == str(error.status), (method, path, code)
            found.add(code)
    assert found == errors.REQUEST_ERRORS.keys() - OF_NO_OPERATION


def test_exactly_the_api_needs_a_key_and_says_so_in_its_answers() -> None:
    for method, path, operation in operations():
        assert operation["security"] == ([{"bearer": []}] if path in WITH_KEY else []), (method, path)
        codes = {code for answer in operation["responses"].values() for code in documented_codes(resolved(answer))}
        expected = {"UNAUTHORIZED", "KEY_DISABLED", "RATE_LIMITED"}
        assert codes & expected == (expected if path in WITH_KEY else set()), (method, path)
        if path in WITH_KEY:
            for status in ("200", "429"):
                headers = resolved(operation["responses"][status])["headers"]
                assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= headers.keys()


def test_every_answer_names_the_headers_of_its_status() -> None:
    for method, path, status, answer in answers():
        headers = answer["headers"].keys()
        assert "X-Request-ID" in headers, (method, path, status)
        assert ("Retry-After" in headers) == (status in ("429", "503")), (method, path, status)
        assert ("WWW-Authenticate" in headers) == (status == "401"), (method, path, status)


def test_every_answer_with_a_body_has_a_type() -> None:
    for method, path, status, answer in answers():
        for kind, media in answer.get("content", {}).items():
            assert "*" not in kind and "schema" in media, (method, path, status)
            if kind in ("audio/mpeg", "image/jpeg", "application/zip"):
                assert media["schema"] == {"type": "string", "format": "binary"}, (method, path, status)


def test_every_example_is_one() -> None:
    components = SPEC["components"]
    for _, _, operation in operations():
        requests = [resolved(operation["requestBody"])] if "requestBody" in operation else []
        parameters = [resolved(one) for one in operation.get("parameters", [])]
        for holder in itertools.chain(requests, map(resolved, operation["responses"].values())):
            for media in holder.get("content", {}).values():
                for example in media.get("examples", {}).values():
                    validate(resolved(example)["value"], media["schema"])
                if "example" in media:
                    validate(media["example"], media["schema"])
        for parameter in parameters:
            if "example" in parameter:
                validate(parameter["example"], parameter["schema"])
    for header in components["headers"].values():
        validate(header["example"], header["schema"])
    for schema in SCHEMAS.values():
        for example in schema.get("examples", []):
            validate(example, schema)


def test_every_operation_with_a_key_has_the_same_examples_in_three_languages() -> None:
    for method, path, operation in operations():
        languages = [one["label"] for one in operation.get("x-codeSamples", [])]
        wanted = path in WITH_KEY or (method == "GET" and path.endswith(".mp3"))
        assert languages == (["curl", "Python", "JavaScript"] if wanted else []), (method, path)


def test_every_parameter_and_field_says_what_it_is() -> None:
    for _, path, operation in operations():
        assert operation["summary"] and operation["description"], path
        for parameter in operation.get("parameters", []):
            assert resolved(parameter)["description"], (path, parameter)
    for name in (
        "Cleared",
        "ConvertRequest",
        "BatchRequest",
        "ArchiveRequest",
        "PlaylistRequest",
        "Playlist",
        "PlaylistVideo",
        "Conversion",
        "ConversionPage",
        "JobError",
        "Source",
        "Chapter",
    ):
        for field, schema in SCHEMAS[name]["properties"].items():
            assert schema.get("description") or resolved(schema)["description"], (
                name,
                field,
            )


def test_its_numbers_and_words_are_the_codes() -> None:
    assert SCHEMAS["Status"]["enum"] == [status.value for status in Status]
    assert SCHEMAS["ClearableStatus"]["enum"] == [status.value for status in api.CLEARABLE]
    assert SCHEMAS["Quality"]["enum"] == [quality.value for quality in Quality]
    assert SCHEMAS["QualityOrDefault"]["enum"] == [*SCHEMAS["Quality"]["enum"], None]
    assert SCHEMAS["Conversion"]["properties"]["bitrate_kbps"]["enum"] == [one.bitrate_kbps for one in Quality]
    assert SCHEMAS["BatchRequest"]["properties"]["urls"]["maxItems"] == JobsConfig().max_batch
    assert SCHEMAS["PlaylistRequest"]["properties"]["limit"]["maximum"] == JobsConfig().max_playlist
    assert SCHEMAS["ListUrl"]["maxLength"] == youtube_url.MAX_LENGTH
    for end in ("ClipStart", "ClipEnd"):
        assert SCHEMAS[end]["pattern"] == request_options.TIME.pattern
        assert SCHEMAS[end]["exclusiveMaximum"] == LONGEST
    for loudness in (SCHEMAS["Loudness"], SCHEMAS["Conversion"]["properties"]["loudness"]):
        assert (loudness["minimum"], loudness["maximum"]) == (levels.QUIETEST, levels.LOUDEST)
    assert SCHEMAS["VideoUrl"]["maxLength"] == youtube_url.MAX_LENGTH
    assert SCHEMAS["WebhookUrl"]["maxLength"] == address.MAX_LENGTH
    assert offline_keys.WEBHOOK_SECRET in SPEC["info"]["description"]
    assert f"{webhooks.MOST:,} webhooks" in SPEC["x-error-codes"]["request"]["QUEUE_FULL"]["meaning"]
    assert SCHEMAS["Conversion"]["properties"]["chapters"]["maxItems"] == id3.MOST_CHAPTERS
    limit = next(one for one in SPEC["paths"]["/status"]["get"]["parameters"] if one.get("name") == "limit")["schema"]
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, api.MAX_PAGE, api.DEFAULT_PAGE)
    assert f"{api.MAX_WAIT} at most" in SPEC["components"]["parameters"]["Prefer"]["description"]
    too_large = SPEC["x-error-codes"]["request"]["PAYLOAD_TOO_LARGE"]["meaning"]
    assert f"{request_body.MAX_BYTES:,} bytes" in too_large
    of_events = SPEC["paths"]["/events"]["get"]["description"]
    assert f"every {events.HEARTBEAT:g} seconds" in of_events
    assert f"{events.MAX_STREAMS} streams" in of_events
    published = LimitsConfig()
    windows = (
        f"{published.per_minute} requests a minute, {published.per_hour:,} an hour and {published.per_day:,} a day"
    )
    assert windows in SPEC["info"]["description"]


@settings(deadline=None)
@given(st.from_regex(SCHEMAS["VideoUrl"]["pattern"]).filter(lambda link: len(link) <= youtube_url.MAX_LENGTH))
def test_every_link_of_the_described_form_is_accepted(link: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{11}", youtube_url.video_id(link))


@settings(deadline=None)
@given(st.from_regex(SCHEMAS["ListUrl"]["pattern"]).filter(lambda link: len(link) <= youtube_url.MAX_LENGTH))
def test_every_link_to_a_list_of_the_described_form_is_accepted(link: str) -> None:
    assert youtube_url.playlist(link).url.startswith("https://")


@pytest.mark.parametrize(
    ("link", "fits"),
    [
        ("https://www.youtube.com/watch?v=dQw4w9WgXcQ", True),
        ("http://m.youtube.com/watch?list=PL1&t=3s&v=dQw4w9WgXcQ#t=1", True),
        ("//www.youtube-nocookie.com/embed/dQw4w9WgXcQ?start=1", True),
        ("YOUTU.BE/dQw4w9WgXcQ?si=x", True),
        (" https://music.youtube.com/watch/?v=dQw4w9WgXcQ&feature=share\n", True),
        ("https://www.youtube.com/shorts/dQw4w9WgXcQ/", True),
        ("https://www.youtube.com/live/dQw4w9WgXcQ", True),
        ("https://www.youtube.com/v/dQw4w9WgXcQ", True),
        ("https://www.youtube.com/watch?v=dQw4w9WgXc", False),
        ("https://www.youtube.com/watch?v=dQw4w9WgXcQ&v=aaaaaaaaaaa", False),
        ("https://www.youtube.com/embed/videoseries?list=PL1", False),
        ("https://www.youtube.com/playlist?list=PL1", False),
        ("https://youtube.com.evil.org/watch?v=dQw4w9WgXcQ", False),
        ("https://youtube.com@evil.org/watch?v=dQw4w9WgXcQ", False),
        ("https://www.youtube.com:443/watch?v=dQw4w9WgXcQ", False),
        ("https://evil.org/?https://youtu.be/dQw4w9WgXcQ", False),
        ("dQw4w9WgXcQ", True),
        (" dQw4w9WgXcQ\n", True),
        ("https://www.youtube.com/?v=dQw4w9WgXcQ", True),
        ("https://www.youtube.com/e/dQw4w9WgXcQ", True),
        ("https://www.youtube.com/watch/dQw4w9WgXcQ", True),
        ("dQw4w9WgXcQ/", False),
        ("dQw4w9WgXc", False),
    ],
)
def test_the_described_form_fits_what_is_accepted_and_nothing_else(link: str, fits: bool) -> None:
    assert bool(re.search(SCHEMAS["VideoUrl"]["pattern"], link)) is fits
    try:
        youtube_url.video_id(link)
    except errors.InvalidUrl:
        assert not fits
    else:
        assert fits


def test_the_fields_of_a_conversion_are_all_required_and_all_described() -> None:
    conversion = SCHEMAS["Conversion"]
    assert conversion["required"] == list(conversion["properties"])


def test_the_example_links_point_at_described_addresses() -> None:
    example = SPEC["components"]["examples"]["completed"]["value"]
    assert example["download_url"].endswith(link(example["conversion_id"]))
    assert Config().server.port == 8080
    assert example["download_url"].startswith("http://127.0.0.1:8080/")
