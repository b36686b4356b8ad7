"""What a video is: title, channel, date, length and sound, all drawn from its id."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from .behaviours import Media, Reserved
from .catalogue import RESERVED, reserved
from .draw import Draw
from .offers import Layout, Offer

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
    layout: Layout = Layout.PLAIN
    silent: bool = False
    height: int = 0
    """Of a picture beside it, ``picture_seconds`` long; 0 for none."""
    picture_seconds: int = 0
    container: str = "webm"
    size: int = 0
    """To how many bytes it is filled up with what is no sound; 0 for not at all."""


@dataclass(frozen=True)
class Stream:
    """A format that is handed out, and what is in it."""

    offer: Offer
    clip: Clip


@dataclass(frozen=True)
class Video:
    """A video as the source describes it; ``seconds`` is what it claims, ``streams`` are what it has."""

    video_id: str
    title: str
    channel: str
    uploaded: datetime.date
    seconds: int
    streams: tuple[Stream, ...]

    @property
    def clip(self) -> Clip:
        """What is in the first stream."""
        return self.streams[0].clip

    def stream(self, itag: str) -> Stream | None:
        return next((one for one in self.streams if str(one.offer.itag) == itag), None)


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
    ordinary = Offer(
        itag=140 if aac else 251,
        codec="aac" if aac else "opus",
        sample_rate=entry.sample_rate or (44_100 if aac else 48_000),
        channels=entry.channels or 2,
        kbps=entry.kbps or (128 if aac else 64),
    )
    length = entry.clip_seconds or entry.seconds or seconds
    streams = tuple(Stream(offer, _clip(entry, offer, video_id, length)) for offer in entry.offers or (ordinary,))
    return Video(video_id, entry.title or title, entry.channel or channel, uploaded, entry.seconds or seconds, streams)


def _clip(entry: Reserved, offer: Offer, video_id: str, seconds: int) -> Clip:
    container = "webm" if offer.codec == "opus" else "mp4" if offer.height else "m4a"
    return Clip(
        seed=f"{video_id}.{offer.language}" if offer.is_dub else video_id,
        seconds=seconds,
        codec=offer.codec,
        sample_rate=offer.sample_rate,
        channels=offer.channels,
        kbps=offer.kbps,
        layout=offer.layout,
        silent=entry.silent,
        height=offer.height,
        picture_seconds=(entry.seconds or seconds) if offer.height else 0,
        container="adts" if entry.media in (Media.ENDLESS, Media.TWICE) else container,
        size=entry.size,
    )
