"""Choices drawn from a video id: the same on every machine, in every Python, for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """An endless stream of choices made from ``seed`` and ``purpose`` by SHA-256.

    Two purposes draw independently, so a change to how titles are made leaves every melody as it was.
    """

    def __init__(self, seed: str, purpose: str) -> None:
        self._key = f"{purpose}:{seed}".encode()
        self._drawn = 0

    def below(self, bound: int) -> int:
        """A number from 0 up to but not including ``bound``."""
        digest = hashlib.sha256(self._key + self._drawn.to_bytes(4, "big")).digest()
        self._drawn += 1
        return int.from_bytes(digest[:8], "big") % bound

    def between(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1)

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]
