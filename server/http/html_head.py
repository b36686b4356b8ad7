"""The head of the pages that the server makes by itself. Those under `static/` have it written out."""

from __future__ import annotations

import html

_HEAD = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
  <meta name="color-scheme" content="light dark">
  <meta name="theme-color" content="#f6f5f1" media="(prefers-color-scheme: light)">
  <meta name="theme-color" content="#121514" media="(prefers-color-scheme: dark)">
  <meta name="referrer" content="no-referrer">{more}
  <title>{title} – ytmp3d</title>
  <link rel="icon" type="image/svg+xml" href="{root}/static/icon.svg">
  <link rel="stylesheet" href="{root}/static/{style}">
</head>
"""


def head(title: str, *, style: str, root: str, more: str = "") -> str:
    """`root` is what addresses of this server begin with; `more` is markup."""
    return _HEAD.format(title=html.escape(title), style=style, root=html.escape(root), more=more)
