"""The names of each key's downloads: two different videos never share a name.

A name is chosen once, at the first request for it or when the conversion ends, and is kept with the conversion. So a
link always answers the same name.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import naming
from ..jobs import Conversion


@dataclass
class _Claim:
    video_id: str
    conversions: int = 0


class Names:
    def __init__(self, template: str) -> None:
        """`template` is the setting `[audio] file_name`."""
        self._template = template
        self._claims: dict[str, dict[str, _Claim]] = {}  # by owner and folded name

    def of(self, conversion: Conversion) -> str:
        """The name without an extension; the video's id until the video's description is known."""
        media = conversion.job.media
        if not conversion.name and media:
            plain = naming.stem(self._template, media, conversion.video_id)
            conversion.name = naming.unique(plain, conversion.video_id, _Others(self, conversion))
            if not conversion.removed:  # or nobody would ever release it
                self.claim(conversion)
        return conversion.name or conversion.video_id

    def claim(self, conversion: Conversion) -> None:
        """Keep its name, if it has one, from other videos of the same key."""
        if conversion.name:
            claims = self._claims.setdefault(conversion.owner, {})
            claims.setdefault(naming.folded(conversion.name), _Claim(conversion.video_id)).conversions += 1

    def release(self, conversion: Conversion) -> None:
        """The conversion is gone; with the last one of that name the name is free."""
        claims = self._claims.get(conversion.owner, {})
        if conversion.name and (claim := claims.get(folded := naming.folded(conversion.name))):
            claim.conversions -= 1
            if not claim.conversions:
                del claims[folded]
            if not claims:
                del self._claims[conversion.owner]

    def is_taken(self, owner: str, folded: str, video_id: str) -> bool:
        claim = self._claims.get(owner, {}).get(folded)
        return claim is not None and claim.video_id != video_id


class _Others:
    """The names that other videos of the same key have."""

    def __init__(self, names: Names, conversion: Conversion) -> None:
        self._names = names
        self._conversion = conversion

    def __contains__(self, folded: object) -> bool:
        return self._names.is_taken(self._conversion.owner, str(folded), self._conversion.video_id)
