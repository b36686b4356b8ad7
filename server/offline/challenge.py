"""The player's two JavaScript challenges, in Python: what a client that ran ``player.js`` must come to."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

PLAYER_PATH = "/s/player/0ff11e01/player_ias.vflset/en_US/base.js"
"""Carries the script's edition: yt-dlp keeps what it learnt of a script under this name."""
UNREADABLE_PATH = "/s/player/0ff11e02/player_ias.vflset/en_US/base.js"
"""A script without the functions that solve anything."""
UNREADABLE_SCRIPT = "(function () { return 0; })();\n"
SIGNATURE_TIMESTAMP = 20601
PLAYER_SCRIPT = Path(__file__).with_name("player.js")


@dataclass(frozen=True)
class Challenge:
    """What one player response poses: ``n`` and ``scrambled`` for the client, ``nonce`` to know it again by."""

    nonce: str
    n: str
    scrambled: str


class Examiner:
    """Poses challenges and checks answers, from a secret and without remembering anything."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def pose(self, nonce: str) -> Challenge:
        return Challenge(nonce, self._derive("n", nonce)[:18], scramble(self._derive("sig", nonce)))

    def passes(self, nonce: str, n: str, signature: str) -> bool:
        """Whether both answers are those the player script would have given."""
        expected = solve_n(self._derive("n", nonce)[:18]) + self._derive("sig", nonce)
        return hmac.compare_digest(expected.encode(), (n + signature).encode())

    def _derive(self, purpose: str, nonce: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{nonce}".encode(), hashlib.sha256).hexdigest()


def scramble(signature: str) -> str:
    """The inverse of the script's ``unscramble``: undone are, last first, dropping, swapping and reversing."""
    letters = list("xyz" + signature)
    _swap(letters, 19)
    _swap(letters, 7)
    letters.reverse()
    return "".join(letters)


def solve_n(n: str) -> str:
    """As the script's ``settle``: each letter is moved on by its position and its predecessor's new place."""
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
    carry = 5
    result = ""
    for position, letter in enumerate(n):
        carry = (alphabet.index(letter) + position * 3 + carry) % len(alphabet)
        result = alphabet[carry] + result
    return result


def _swap(letters: list[str], position: int) -> None:
    position %= len(letters)
    letters[0], letters[position] = letters[position], letters[0]
