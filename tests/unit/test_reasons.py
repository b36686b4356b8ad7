"""Every sentence that YouTube and yt-dlp are known to say gets the code that is true, and words that say no more."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.findings import with_
from support.sentences import NOTHING_SAID, OWN, WARNED, YOUTUBE

from server import errors
from server.media import advice, reasons, transport
from server.media.advice import Setup
from server.media.reasons import failure

ID = "dQw4w9WgXcQ"
SILENT = f"ERROR: [youtube] {ID}: Requested format is not available. Use --list-formats for a list of available formats"
NOTHING = f"ERROR: [youtube] {ID}: No video formats found!; please report this issue on  https://github.com/yt-dlp"
BARE = f"ERROR: [youtube] {ID}: Video unavailable. This video is not available"
ONLY_IMAGES = f"[youtube] {ID}: Only images are available for download. Use --list-formats to see them"
STALE = f"[youtube] {WARNED['COOKIES_INVALID'][0].removeprefix('[youtube] ')}"
SABR = (
    "[youtube] Some tv_samsung client https formats have been skipped as they are missing a URL. YouTube may have"
    " enabled the SABR-only streaming experiment for the current session."
)
TOKEN = f"[youtube] {ID}: web client https formats require a GVS PO Token which was not provided."
CHALLENGE = f"[youtube] {ID}: n challenge solving failed: Some formats may be missing."
FORBIDDEN = "[youtube] Unable to download API page: HTTP Error 403: Forbidden (caused by <HTTPError 403: Forbidden>)"
#: Sentences that would each change the code, as names of titles, channels, levels and claimants.
NAMES = (
    *(
        "Private video",
        "Sign in to confirm you're not a bot",
        "HTTP Error 429: Too Many Requests",
        "Premieres in 3 hours",
    ),
    *(
        "Video unavailable. This video has been removed by the uploader",
        "This live event has ended.",
        "Connection reset",
    ),
    *("This video is DRM protected", "No space left on device", "Broken pipe", "blocked it in your country"),
    *("Join this channel to get access to members-only content", "Requested format is not available", "proxy"),
    *("please report this issue on  https://github.com/yt-dlp/yt-dlp/issues?q= ", "certificate verify failed"),
)


def rows(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(code, sentence) for code, sentences in table.items() for sentence in sentences]


def of_youtube(sentence: str, video_id: str = ID) -> str:
    return f"ERROR: [youtube] {video_id}: {sentence}"


# ---- the table


@pytest.mark.parametrize(("code", "sentence"), rows(YOUTUBE))
def test_a_sentence_of_youtube_has_its_code(code: str, sentence: str) -> None:
    assert failure(of_youtube(sentence)).code == code


@pytest.mark.parametrize(("code", "message"), rows(OWN))
def test_a_message_of_yt_dlp_has_its_code(code: str, message: str) -> None:
    assert failure(message).code == code


@pytest.mark.parametrize(("code", "warning"), rows(WARNED))
def test_a_warning_says_why_nothing_is_left(code: str, warning: str) -> None:
    assert failure(NOTHING, [warning]).code == code
    assert failure(SILENT, [ONLY_IMAGES, warning]).code == code


@pytest.mark.parametrize("warning", NOTHING_SAID)
def test_a_warning_about_something_else_changes_no_code(warning: str) -> None:
    assert failure(SILENT, [warning]).code == "NO_AUDIO"
    assert failure(NOTHING, [warning]).code == "SOURCE_WITHHELD"
    assert failure(BARE, [warning]).code == "VIDEO_UNAVAILABLE"


def test_every_code_that_yt_dlp_can_cause_is_in_the_table() -> None:
    found = {code for table in (YOUTUBE, OWN, WARNED) for code in table}
    assert found == errors.JOB_ERRORS.keys() - {"TOO_LONG", "TOO_LARGE", "CLIP_OUT_OF_RANGE"}  # by our own rules


# ---- how it is said makes no difference


@pytest.mark.parametrize(("code", "sentence"), rows(YOUTUBE))
def test_apostrophes_capitals_and_blanks_make_no_difference(code: str, sentence: str) -> None:
    for changed in (sentence.replace("'", "\u2019"), sentence.upper(), sentence.replace(" ", "\u00a0\n")):
        assert failure(of_youtube(changed)).code == code


@pytest.mark.parametrize(("code", "sentence"), rows(YOUTUBE))
def test_what_is_known_is_known_after_video_unavailable(code: str, sentence: str) -> None:
    assert failure(of_youtube(f"Video unavailable. {sentence}")).code == code


@pytest.mark.parametrize("video_id", ["certificate", "connection-", "timed-out--", "proxy-proxy", "Unavailable"])
def test_the_id_of_a_video_is_no_reason(video_id: str) -> None:
    assert failure(of_youtube("This video is private", video_id)).code == "VIDEO_PRIVATE"
    assert failure(of_youtube("This video has gone for a walk.", video_id)).code == "SOURCE_REFUSED"
    assert failure(NOTHING.replace(ID, video_id), [SABR, TOKEN.replace(ID, video_id)]).code == "SOURCE_WITHHELD"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("MEMBERS_ONLY", "This video is available to this channel's members on level: {} (or any higher level)."),
        ("VIDEO_UNAVAILABLE", "This video is no longer available due to a copyright claim by {}"),
        ("VIDEO_UNAVAILABLE", "Video unavailable. It was blocked due to the claimed content by {}."),
        ("GEO_BLOCKED", "This video contains content from {}, who has blocked it in your country on copyright grounds"),
        ("UPCOMING", "Waiting for {}"),
        ("SOURCE_REFUSED", "{} is what this channel calls itself".replace("{}", "\u201c{}\u201d")),
    ],
)
def test_no_name_within_a_sentence_changes_the_code(code: str, sentence: str, name: str) -> None:
    assert failure(of_youtube(sentence.format(name))).code in (code, "INTERNAL_ERROR" if "report" in name else code)


@pytest.mark.parametrize("name", NAMES)
def test_no_title_in_a_warning_changes_the_code(name: str) -> None:
    for line in (
        f'[youtube] Cannot parse localized time text "{name}"',
        f"[download] {name}",
        f"[youtube] {ID}: x {name}",
    ):
        assert failure(SILENT, [line]).code == "NO_AUDIO"


# ---- where the message says nothing, the warnings before it do


@pytest.mark.parametrize(
    ("code", "message", "warnings"),
    [
        ("NO_AUDIO", SILENT, []),
        ("NO_AUDIO", SILENT, [SABR, TOKEN]),  # as on every day; the formats that were listed are all silent
        ("SOURCE_WITHHELD", SILENT, [ONLY_IMAGES]),
        ("SOURCE_WITHHELD", SILENT, [ONLY_IMAGES, SABR, TOKEN]),
        ("SOURCE_WITHHELD", SILENT, [CHALLENGE]),
        ("SOURCE_WITHHELD", NOTHING, []),
        ("SOURCE_WITHHELD", BARE, [SABR]),
        ("SOURCE_WITHHELD", BARE, [TOKEN]),
        ("VIDEO_UNAVAILABLE", BARE, []),
        ("SOURCE_FORBIDDEN", BARE, [FORBIDDEN]),
        ("SOURCE_FORBIDDEN", NOTHING, [SABR, TOKEN, FORBIDDEN]),  # the answer that was to hold formats did not come
        ("SOURCE_RATE_LIMITED", NOTHING, [SABR, FORBIDDEN.replace("403: Forbidden", "429: Too Many Requests")]),
        ("SOURCE_RATE_LIMITED", NOTHING, [WARNED["NETWORK_ERROR"][0], WARNED["SOURCE_RATE_LIMITED"][0]]),
        ("VIDEO_PRIVATE", of_youtube("This video is private"), [SABR, FORBIDDEN]),
        ("DRM_PROTECTED", of_youtube("This video is DRM protected"), [SABR, TOKEN]),
    ],
)
def test_the_cause_is_read_from_the_warnings(code: str, message: str, warnings: list[str]) -> None:
    assert failure(message, warnings).code == code


def test_what_was_withheld_is_named_with_every_cause() -> None:
    message = failure(NOTHING, [TOKEN, SABR, CHALLENGE]).message
    assert [word in message for word in ("challenge", "SABR", "PO token")] == [True] * 3


@pytest.mark.parametrize("code", ["BOT_CHECK", "AGE_RESTRICTED", "MEMBERS_ONLY", "VIDEO_PRIVATE", "PAYMENT_REQUIRED"])
def test_cookies_that_are_no_longer_valid_are_the_reason_where_signing_in_would_help(code: str) -> None:
    assert failure(of_youtube(YOUTUBE[code][0]), [STALE]).code == "COOKIES_INVALID"
    assert failure(of_youtube(YOUTUBE["GEO_BLOCKED"][0]), [STALE]).code == "GEO_BLOCKED"


# ---- what the engine does with it


@pytest.mark.parametrize(
    "sentence", [*YOUTUBE["BOT_CHECK"], *YOUTUBE["SOURCE_RATE_LIMITED"], *YOUTUBE["SOURCE_REFUSED"]]
)
def test_a_source_that_pushes_back_is_asked_again_by_nobody_but_the_client(sentence: str) -> None:
    error = failure(of_youtube(sentence))
    assert error.retryable and not error.retried


def test_what_the_player_api_refuses_is_not_asked_for_again_at_once_but_what_the_media_refuses_is() -> None:
    assert failure(NOTHING, [FORBIDDEN]).retried is False
    assert failure("ERROR: unable to download video data: HTTP Error 403: Forbidden").retried is True
    assert isinstance(failure("ERROR: unable to write data: [Errno 32] Broken pipe"), transport.BrokenPipe)


# ---- what people read


def all_messages() -> Iterator[str]:
    everything = [of_youtube(sentence) for _, sentence in rows(YOUTUBE)] + [message for _, message in rows(OWN)]
    for setup in (Setup(), Setup(cookies=True), Setup(proxy=True), Setup(cookies=True, proxy=True)):
        yield from (failure(message, setup=setup).message for message in everything)
        yield from (failure(NOTHING, [warning], setup).message for _, warning in rows(WARNED))


def test_a_message_is_a_few_sentences_for_the_guest_and_then_for_the_owner() -> None:
    for message in all_messages():
        guest, _, owner = message.partition(" For the owner: ")
        assert guest[0].isupper() and guest.endswith((".", "\u201d.")) and len(guest) <= 420, message
        assert not owner or (owner.endswith(".") and "For the owner" not in owner), message
        assert "[ytdlp]" not in guest and "`" not in guest, message


def test_no_message_holds_a_path_an_address_or_a_trace() -> None:
    for message in all_messages():
        assert not re.search(r"/\w+/|https?:|Traceback|\.py\b|\[Errno|--cookies|line \d", message), message
        assert message.isprintable(), message


def test_only_what_youtube_says_is_asserted() -> None:
    for sentence in YOUTUBE["VIDEO_UNAVAILABLE"]:
        message = failure(of_youtube(sentence)).message
        if re.search(r"\bremoved\b|\bexist\b", message):
            assert re.search(r"remov|delet|terminat|clos|exist", sentence, re.IGNORECASE), (sentence, message)
    bare = failure(BARE).message
    assert "no reason" in bare and "outdated yt-dlp" in bare and "blocked address" in bare


def test_a_sentence_that_nobody_knows_is_quoted_as_youtubes() -> None:
    error = failure(of_youtube("This video has gone for a walk. Use --cookies for the authentication. See  https://x"))
    assert "says: \u201cThis video has gone for a walk\u201d." in error.message
    assert "inside" not in error.message


@given(st.text(max_size=600), st.lists(st.text(max_size=200), max_size=5))
def test_any_text_gives_an_error_with_a_bounded_printable_message(text: str, warnings: list[str]) -> None:
    for message in (text, of_youtube(text)):
        error = failure(message, warnings)
        assert errors.JOB_ERRORS[error.code] and error.message.isprintable() and len(error.message) < 700
    assert len(reasons.quoted(text)) <= reasons.QUOTED


# ---- nothing is asked for that is there


@pytest.mark.parametrize("code", ["AGE_RESTRICTED", "MEMBERS_ONLY", "PAYMENT_REQUIRED", "BOT_CHECK"])
def test_cookies_that_are_set_are_not_asked_for(code: str) -> None:
    sentence = of_youtube(YOUTUBE[code][0])
    assert "set [ytdlp] cookies" in failure(sentence, setup=Setup()).message
    assert "set [ytdlp] cookies" not in failure(sentence, setup=Setup(cookies=True)).message


@pytest.mark.parametrize("code", ["GEO_BLOCKED", "BOT_CHECK", "SOURCE_RATE_LIMITED"])
def test_a_proxy_that_is_set_is_not_asked_for(code: str) -> None:
    sentence = of_youtube(YOUTUBE[code][0])
    assert "set [ytdlp] proxy" in failure(sentence, setup=Setup()).message
    assert "set [ytdlp] proxy" not in failure(sentence, setup=Setup(proxy=True)).message


def test_what_is_set_is_known_from_the_settings_the_arguments_and_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert advice.setup(with_("ytdlp", args=())) == Setup()
    args = ("--cookies-from-browser", "firefox", "--proxy=http://127.0.0.1:1")
    assert advice.setup(with_("ytdlp", args=args)) == Setup(cookies=True, proxy=True)
    assert advice.setup(with_("ytdlp", proxy="http://127.0.0.1:1")) == Setup(proxy=True)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert advice.setup(with_("ytdlp", args=())) == Setup(proxy=True)
