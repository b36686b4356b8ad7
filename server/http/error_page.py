"""An error as a page, for a person who followed a link in a browser. It needs no script."""

from __future__ import annotations

import html
import re

from .. import errors
from ..printable import printable
from .html_head import head

#: By status: what happened, in a few words, and what to do if the message does not say.
_TITLES = {
    400: ("This request is not understood", "Go back and check what you entered."),
    401: ("This needs a key", "The converter asks for it. Programs send it in the Authorization header."),
    403: ("This is not allowed", "Ask whoever runs this server."),
    404: (
        "There is nothing here",
        "Check the link. Files are kept for a while only; the video can be converted again.",
    ),
    405: ("This address is for programs", "The converter does what people need."),
    412: ("This file is another one now", "Download it again from the start."),
    413: ("This is too large", "Send less at a time."),
    416: ("This part of the file is not there", "Download it again from the start."),
    417: ("This request is not understood", "Try again with another program."),
    429: ("Too many requests", "Wait a moment, then try again."),
    500: ("Something went wrong", "Try again later. If it stays like this, tell whoever runs this server."),
    503: ("Not right now", "Wait a moment, then load this page again."),
}
_FAILED = ("This could not be converted", "The converter says more, and can try again.")
_QUALITY = re.compile(r"[01](?:\.[0-9]{0,3})?")
_MOST_TYPES = 50

_BODY = """<body>
  <header class="top"><p class="brand"><img src="{root}/static/icon.svg" alt="">ytmp3d</p></header>
  <main>
    <section class="panel">
      <h1>{title}</h1>
      <p class="lead">{message}</p>
      <p>{advice}</p>
      <p class="way"><a class="button primary" href="{root}/{link}">{way}</a></p>
      {owner}<p class="hint">{status} {code}</p>
    </section>
  </main>
</body>
</html>
"""


def page(error: errors.RequestError, root: str) -> bytes:
    """`root` is the path that all addresses of this server begin with, or empty."""
    title, advice = _FAILED if isinstance(error, errors.ConversionFailed) else _TITLES[error.status]
    if seconds := error.headers.get("Retry-After"):
        advice = f"Try again in {seconds} seconds."
    message, _, owner = error.message.partition(errors.FOR_THE_OWNER)
    link, way = (
        (f"?url=https://youtu.be/{error.video_id}", "Convert again") if error.video_id else ("", "To the converter")
    )
    texts = {"title": title, "message": message, "advice": advice, "code": error.code, "root": root}
    texts |= {"link": link, "way": way}
    safe = {name: html.escape(printable(text)) for name, text in texts.items()}
    told = html.escape(printable(owner))
    safe["owner"] = f"<details><summary>For the server’s owner</summary><p>{told}</p></details>" if owner else ""
    page = head(title, style="style.css", root=root, more='\n  <meta name="robots" content="noindex">')
    return (page + _BODY.format(status=error.status, **safe)).encode()


def prefers_html(accept: str) -> bool:
    """Whether an Accept header (RFC 9110 §12.5.1) prefers text/html to JSON, as only browsers do."""
    if "text/html" not in accept.lower():
        return False
    found: dict[str, tuple[float, int]] = {}
    for place, one in enumerate(accept.lower().split(",")[:_MOST_TYPES]):
        kind, *parameters = (part.strip() for part in one.split(";"))
        found.setdefault(kind, (_quality(parameters), -place))
    of_html = found.get("text/html", (0.0, 0))
    of_json = next((found[kind] for kind in ("application/json", "application/*", "*/*") if kind in found), (0.0, 0))
    return of_html[0] > 0 and of_html > of_json


def _quality(parameters: list[str]) -> float:
    for one in parameters:
        name, _, value = one.partition("=")
        if name.strip() == "q" and _QUALITY.fullmatch(value.strip()):
            return min(1.0, float(value))
    return 1.0
