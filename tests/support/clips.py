"""The clips of the offline YouTube, made once for all servers of a test run."""

from __future__ import annotations

import os
from pathlib import Path

#: Which environment variable names their folder: so all workers of a run have the same one.
FOLDER = "YTMP3D_TEST_CLIPS"


def with_shared_clips(youtube: Path) -> Path:
    """`youtube`, the own folder of an offline YouTube, in which the clips are those of the whole run."""
    youtube.mkdir(parents=True, exist_ok=True)
    clips = youtube / "clips"
    if not clips.exists():
        clips.symlink_to(os.environ[FOLDER], target_is_directory=True)
    return youtube
