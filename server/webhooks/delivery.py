"""One delivery: what is told to whom, and when it is tried next."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from .. import stored
from ..jobs import Conversion, Status
from ..storage.state import Record
from .address import host_of

#: Seconds before each further attempt: a day in all.
PAUSES = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0, 21_600.0, 36_000.0)


@dataclass(eq=False)
class Delivery:
    """Times in seconds since the epoch. `failure` is what the last attempt failed with."""

    id: str
    owner: str
    url: str
    body: str
    created: float
    due: float
    attempts: int = 0
    failure: str = ""
    given_up: bool = False

    @property
    def host(self) -> str:
        return host_of(self.url)

    @property
    def lane(self) -> tuple[str, str]:
        """Deliveries of one lane hold up one another only."""
        return self.owner, self.host

    def failed(self, reason: str, now: float, *, for_good: bool) -> None:
        """Note an attempt. The next one is due after a pause, unless that was the last."""
        self.attempts += 1
        self.failure = reason[:300]
        if for_good or self.attempts > len(PAUSES):
            self.given_up = True
        else:
            self.due = now + PAUSES[self.attempts - 1]

    def begin_anew(self, now: float) -> None:
        """Try it now; if it was given up, with all attempts before it."""
        self.due = now
        if self.given_up:
            self.given_up, self.attempts = False, 0

    def record(self) -> Record:
        record: Record = {"owner": self.owner, "url": self.url, "body": self.body, "attempts": self.attempts}
        record |= {"created": _text(self.created), "due": _text(self.due)}
        if self.failure:
            record["failure"] = self.failure
        if self.given_up:
            record["given_up"] = True
        return record

    @classmethod
    def restored(cls, key: str, record: Record) -> Delivery:
        """Raises KeyError, TypeError or ValueError for anything that no server wrote."""
        return cls(
            key,
            owner=stored.text(record["owner"]),
            url=stored.text(record["url"]),
            body=stored.text(record["body"]),
            created=stored.moment(record["created"]).timestamp(),
            due=stored.moment(record["due"]).timestamp(),
            attempts=stored.count(record["attempts"]),
            failure=stored.text(record.get("failure", "")),
            given_up=record.get("given_up", False) is True,
        )


def of(conversion: Conversion, url: str, rendered: bytes, now: float) -> Delivery:
    """The news of the conversion's end. `rendered` is its object.

    Its id is made from the conversion's, so that after a crash a receiver knows news that it has had.
    """
    ended = conversion.finished_at or datetime.fromtimestamp(now, UTC)
    kind = "conversion.completed" if conversion.status is Status.COMPLETED else "conversion.failed"
    head = json.dumps({"type": kind, "timestamp": ended.isoformat(timespec="milliseconds").replace("+00:00", "Z")})
    body = f'{head[:-1]}, "data": {rendered.decode()}}}'
    message_id = "msg_" + hashlib.sha256(f"webhook {conversion.id}".encode()).hexdigest()[:32]
    return Delivery(message_id, conversion.owner, url, body, created=now, due=now)


def _text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
