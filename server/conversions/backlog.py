"""The places in the queue, and how the keys share them.

A key may hold at most four fifths (`SHARE`) of the places that no other key holds. So its share shrinks as others fill
the queue, and a key that has nothing waiting finds a place for as long as there is any.
"""

from __future__ import annotations

import math

from ..errors import QueueFull

SHARE = 0.8
#: When to ask again after there was no room, in seconds.
RETRY_AFTER = 30


def check_room(places: int, *, taken: int, new: int) -> None:
    """Raise QueueFull unless `new` more fit beside those that are `taken`."""
    if new and taken + new > places:
        raise QueueFull(f"All {places} places in the queue are taken. Try again later.", retry_after=RETRY_AFTER)


def check_share(places: int, *, others: int, own: int, new: int) -> None:
    """Raise QueueFull unless a key with `own` conversions waiting beside the `others` may have `new` more."""
    share = math.ceil(SHARE * (places - others))
    if new and own + new > share:
        raise QueueFull(
            f"This key has {own} conversions waiting and may have {share} at the moment; the other places are kept for "
            "other keys. Try again later.",
            retry_after=RETRY_AFTER,
        )
