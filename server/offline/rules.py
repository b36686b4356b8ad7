"""Rules: which of a key's requests are answered otherwise than they would be. Plain memory.

A rule names an operation, when it fires, and what happens then. Every rule counts the requests that it names from the
moment it is made. Of several that fire at one request, the oldest decides.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import errors

#: Rules that a key may have at a time.
MOST_RULES = 100
#: The longest delay, and the largest number that a rule may hold.
MOST_SECONDS, MOST = 60, 1_000_000_000
#: Every operation that needs a key.
ANY = "*"
_WHENS = ("nth", "next", "every")
_WHATS = ("code", "delay", "rate", "cut_after")
_FIELDS = ("operation", *_WHENS, *_WHATS, "message", "retry_after")
#: Their answers have headers that only a request of that kind can have.
_OF_A_REQUEST = {"METHOD_NOT_ALLOWED", "RANGE_NOT_SATISFIABLE"}
#: The statuses that have a `Retry-After`.
_WAITING = (429, 503)
#: What no download answers, since it needs no key.
_OF_A_KEY = {"UNAUTHORIZED", "KEY_DISABLED", "RATE_LIMITED", "QUOTA_EXCEEDED"}


@dataclass
class Rule:
    """`when` is "nth", "next" or "every", and `number` its number. What is None does not happen."""

    operation: str = ANY
    when: str = "next"
    number: int = 1
    code: str | None = None
    """Answered in place of what was asked for, with the status of its class in `errors`."""
    message: str = ""
    retry_after: int = 1
    """Seconds; for answers of 429 and 503."""
    delay: float = 0
    """Seconds before the request is served or refused."""
    rate: int | None = None
    """Bytes of the answer's body that are sent in a second."""
    cut_after: int | None = None
    """The connection ends after so many bytes of the body; at 0, before any byte of the answer."""
    id: int = 0
    seen: int = 0
    fired: int = 0

    def fires(self) -> bool:
        """Whether it is this request's turn, which is counted."""
        self.seen += 1
        if self.when == "nth":
            return self.seen == self.number
        return self.seen % self.number == 0 if self.when == "every" else self.seen <= self.number

    def fields(self) -> dict[str, Any]:
        """As the control API shows it."""
        does = {name: value for name in _WHATS if (value := getattr(self, name)) is not None}
        if self.code and errors.REQUEST_ERRORS[self.code].status in _WAITING:
            does["retry_after"] = self.retry_after
        named = {"id": self.id, "operation": self.operation, self.when: self.number}
        return {**named, **does, "seen": self.seen, "fired": self.fired}


@dataclass
class OfKey:
    """What belongs to one key: its rules, the oldest first, and how often it asked for what."""

    preset: tuple[Rule, ...] = ()
    rules: list[Rule] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)

    def reset(self) -> None:
        """The rules of the key's maker are there again, and have seen nothing."""
        self.asked.clear()
        self.rules = [Rule(**{**vars(rule), "seen": 0, "fired": 0}) for rule in self.preset]


class Rules:
    def __init__(self, presets: Mapping[str, tuple[Rule, ...]]) -> None:
        """`presets` are rules that keys have from the start, by the key's name."""
        self._numbers = itertools.count(1)
        self._keys = {name: OfKey(rules) for name, rules in presets.items()}
        for one in self._keys.values():
            one.reset()

    def of(self, name: str) -> OfKey:
        return self._keys.setdefault(name, OfKey())

    def forget(self, name: str) -> None:
        """There is no such key any more."""
        self._keys.pop(name, None)

    def add(self, name: str, rule: Rule) -> Rule:
        """Raises InvalidRequest when the key has too many."""
        rules = self.of(name).rules
        if len(rules) >= MOST_RULES:
            raise errors.InvalidRequest(f"This key has {MOST_RULES} rules. Remove some: DELETE /_offline/rules.")
        rule.id = next(self._numbers)
        rules.append(rule)
        return rule

    def fired(self, name: str, operation: str, *, keyed: bool) -> Rule | None:
        """Count a request of the key, and return the rule that decides about it. `keyed` says that it needs a key."""
        one = self.of(name)
        one.asked[operation] += 1
        found = None
        for rule in one.rules:
            named = rule.operation == operation or (rule.operation == ANY and keyed)
            if named and rule.fires() and found is None:
                found = rule
                rule.fired += 1
        return found


def parsed(given: Mapping[str, Any], operations: Collection[str], downloads: Collection[str]) -> Rule:
    """The rule in a request's body. Raises InvalidRequest, which names the field."""
    if unknown := sorted(given.keys() - set(_FIELDS)):
        raise errors.InvalidRequest(f'A rule has no "{unknown[0]}". It may have: {", ".join(_FIELDS)}.')
    operation = given.get("operation", ANY)
    if not isinstance(operation, str) or (operation != ANY and operation not in operations):
        raise errors.InvalidRequest(f'"operation" must be "*" or one of: {", ".join(sorted(operations))}.')
    whens = [name for name in _WHENS if name in given]
    if len(whens) > 1:
        raise errors.InvalidRequest(f'A rule has one of "nth", "next" and "every", not {len(whens)} of them.')
    when = whens[0] if whens else "next"
    rule = Rule(operation, when, _number(given, when, 1, 1, MOST))
    if not any(name in given for name in _WHATS):
        raise errors.InvalidRequest('A rule needs something to do: "code", "delay", "rate" or "cut_after".')
    if "code" in given:
        rule.code = _code(given["code"], of_download=operation in downloads)
    rule.message = given.get("message", f"A rule of this key answers {rule.code}, as it should.")
    if not isinstance(rule.message, str) or not 1 <= len(rule.message) <= 1000:
        raise errors.InvalidRequest('"message" must be a string of 1 to 1000 characters.')
    if "retry_after" in given:
        if rule.code is None or errors.REQUEST_ERRORS[rule.code].status not in _WAITING:
            raise errors.InvalidRequest('"retry_after" goes with a "code" whose status is 429 or 503.')
        rule.retry_after = _number(given, "retry_after", 1, 1, 86_400)
    rule.delay = _seconds(given.get("delay", 0))
    if "rate" in given:
        rule.rate = _number(given, "rate", 1, 1, MOST)
    if "cut_after" in given:
        rule.cut_after = _number(given, "cut_after", 0, 0, MOST)
    return rule


def _code(code: Any, *, of_download: bool) -> str:
    if isinstance(code, str) and code in errors.REQUEST_ERRORS.keys() - _OF_A_REQUEST:
        if of_download and code in _OF_A_KEY:
            raise errors.InvalidRequest(f'No download answers "{code}", since it needs no key.')
        return code
    if isinstance(code, str) and code in errors.JOB_ERRORS:
        raise errors.InvalidRequest(
            f'"code": conversions fail with {code}, no request does. Convert a reserved video id that ends so.'
        )
    known = ", ".join(sorted(errors.REQUEST_ERRORS.keys() - _OF_A_REQUEST))
    raise errors.InvalidRequest(f'"code" must be one of: {known}.')


def _number(given: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = given.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise errors.InvalidRequest(f'"{name}" must be a whole number from {low} to {high}.')
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= MOST_SECONDS:
        raise errors.InvalidRequest(f'"delay" must be a number of seconds from 0 to {MOST_SECONDS}.')
    return float(value)
