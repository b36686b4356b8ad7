"""The first comparison as a picture for the README: one bar for each row, as long as it took, with its first byte."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path

_WIDTH, _LEFT, _BAR, _GAP, _TOP = 720, 190, 26, 16, 56
_OURS, _OTHERS, _TEXT, _SOFT = "#0f766e", "#a8b5b1", "#1d2321", "#5b625f"
_FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"


def draw(path: Path, title: str, rows: Mapping[str, tuple[float, float | None]], machine: str) -> None:
    """`rows` are seconds to the end, and to the first byte where there is one; the first row is this server's."""
    longest = max(whole for whole, _ in rows.values())
    scale = (_WIDTH - _LEFT - 90) / longest
    height = _TOP + len(rows) * (_BAR + _GAP) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="{_FONT}" role="img">',
        f"<title>{html.escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" rx="12" fill="#fff"/>',
        _text(20, 32, title, size=16, weight=600),
    ]
    for number, (name, (whole, first)) in enumerate(rows.items()):
        y = _TOP + number * (_BAR + _GAP)
        parts.append(_text(_LEFT - 12, y + 18, name, anchor="end"))
        colour = _OTHERS if number else _OURS
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{whole * scale:.1f}" height="{_BAR}" rx="5" fill="{colour}"/>')
        parts.append(_text(_LEFT + whole * scale + 8, y + 18, f"{whole:.2f} s"))
        if first is not None:
            x = _LEFT + first * scale
            parts.append(f'<path d="M{x:.1f} {y - 4}v{_BAR + 8}" stroke="{_TEXT}" stroke-width="2"/>')
            parts.append(_text(x + 6, y + 18, f"sound after {first:.2f} s", size=12, colour="#fff"))
    parts += [_text(20, height - 14, machine, size=12, colour=_SOFT), "</svg>"]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _text(
    x: float, y: float, text: str, *, size: int = 14, weight: int = 400, anchor: str = "start", colour: str = _TEXT
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{html.escape(text)}</text>'
