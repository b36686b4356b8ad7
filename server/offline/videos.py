"""What a video is: title, channel, date, length and sound, all drawn from its id."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from .catalogue import RESERVED, reserved
from .draw import Draw

VIDEO_ID = re.compile(r"[0-9A-Za-z_-]{11}")

TITLES = (
    *("{adjective} {noun}",) * 4,
    "{noun} of the {adjective} {place}",
    "{adjective} {noun} (Live at the {place})",
    "{noun} & {noun2} [Official Audio]",
    "{adjective} {noun} 🎵",
    "🌙 {adjective} {noun} ✨ {place}",
    "夜の散歩 — {noun}",
    "春风 / {adjective} {noun}",
    "Песня о море ({noun})",
    "Ταξίδι στο φως · {noun}",
    "أغنية الصباح {noun}",
    "שיר לילה — {noun}",
    "बारिश का गीत: {noun}",
    "비 오는 날 ☔ {noun}",
    "Füße über Öl: {noun}",
)
ADJECTIVES = ("Quiet", "Golden", "Distant", "Paper", "Electric", "Hollow", "Velvet", "Northern", "Salt", "Slow")
NOUNS = ("Harbour", "Lantern", "River", "Clockwork", "Garden", "Satellite", "Orchard", "Tide", "Window", "Sparrow")
PLACES = ("Lighthouse", "Valley", "Old Mill", "Rooftop", "Station", "Observatory")
CHANNELS = (
    "The Offline Orchestra",
    "Nightshift Trio",
    "Ada & the Loops",
    "Møllers Kvartet",
    "Оркестр тишины",
    "静かな楽団",
    "فرقة النهر",
    "Café Ñandú 🎷",
)
FIRST_DAY = datetime.date(2009, 1, 1)
DAYS = 5800


@dataclass(frozen=True)
class Clip:
    """Everything that decides how a clip sounds and in what it is wrapped."""

    seed: str
    seconds: int
    codec: str = "opus"
    sample_rate: int = 48_000
    channels: int = 2
    kbps: int = 64

    @property
    def container(self) -> str:
        return "webm" if self.codec == "opus" else "m4a"


@dataclass(frozen=True)
class Video:
    """A video as the source describes it; ``seconds`` is what it claims, ``clip`` what it has."""

    video_id: str
    title: str
    channel: str
    uploaded: datetime.date
    seconds: int
    clip: Clip


def video(video_id: str) -> Video:
    """The video of any id: 5 to 20 s, Opus, or AAC for one id in five; what a reserved id fixes is as it fixes it."""
    draw = Draw(video_id, "video")
    title = draw.pick(TITLES).format(
        adjective=draw.pick(ADJECTIVES), noun=draw.pick(NOUNS), noun2=draw.pick(NOUNS), place=draw.pick(PLACES)
    )
    channel = draw.pick(CHANNELS)
    uploaded = FIRST_DAY + datetime.timedelta(days=draw.below(DAYS))
    seconds = draw.between(5, 20)
    aac = draw.below(5) == 0

    entry = reserved(video_id)
    if video_id in RESERVED:
        aac = entry.codec == "aac"
    clip = Clip(
        seed=video_id,
        seconds=entry.clip_seconds or entry.seconds or seconds,
        codec="aac" if aac else "opus",
        sample_rate=entry.sample_rate or (44_100 if aac else 48_000),
        channels=entry.channels or 2,
        kbps=entry.kbps or (128 if aac else 64),
    )
    return Video(video_id, entry.title or title, entry.channel or channel, uploaded, entry.seconds or seconds, clip)
