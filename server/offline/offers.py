"""In which formats a video can be handed out: the vocabulary for ids that offer more or other than one audio stream."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Delivery(enum.Enum):
    """How the bytes of a format come."""

    HTTPS = enum.auto()
    """One file, with ranges."""
    HLS = enum.auto()
    """Fragments of MPEG-TS, listed in a playlist."""
    DASH = enum.auto()
    """Fragments of MP4, listed in a manifest."""


class Layout(enum.Enum):
    """What more than two channels are."""

    PLAIN = enum.auto()
    SURROUND = enum.auto()
    """5.1, as loud as can be, much the same everywhere."""
    AMBISONIC = enum.auto()
    """Four channels of a sphere, of which the first is heard all around."""


class Says(enum.Enum):
    """What a video and its formats say of their length."""

    LENGTH = enum.auto()
    NOTHING = enum.auto()
    ZERO = enum.auto()


@dataclass(frozen=True)
class Offer:
    """One format that is handed out for a video."""

    itag: int
    delivery: Delivery = Delivery.HTTPS
    codec: str = "aac"
    channels: int = 2
    kbps: int = 128
    sample_rate: int = 48_000
    layout: Layout = Layout.PLAIN
    height: int = 0
    """Of the picture beside the sound; 0 for none."""
    language: str = ""
    track: str = ""
    """What the track is called, such as ``Spanish (original)``. Another than the original is another tune."""
    is_default: bool = False
    compressed: bool = False
    """Its dynamic range is (DRC)."""
    codec_named: bool = True
    encrypted: bool = False
    """In a way that no player for the open web can undo (SAMPLE-AES)."""

    @property
    def is_dub(self) -> bool:
        return bool(self.track) and "original" not in self.track
