"""ytmp3d: a self-hosted YouTube-to-MP3 server that speaks a published conversion API."""

__version__ = "0.2.0"
