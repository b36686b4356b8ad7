"""Bounds on connections: how many at a time, how many from one address, and which one is closed to make room.

A connection takes a descriptor of the process, and so does each file that is sent. When they run out, nothing works:
no file opens, no child starts. So there are never more than `room` of both. Beyond it the connection that has waited
longest for a request is closed, or else a reader that takes nothing; if all are at work, the new one is closed.

Nobody can keep a connection for nothing: one that sends no whole request, reads nothing of its answer or is only kept
alive is closed in time.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from .. import errors
from .addresses import customer

log = logging.getLogger(__name__)

#: Seconds from the opening of a connection to the last header of its first request.
FIRST_REQUEST_TIMEOUT = 20.0
#: Seconds from an answer to the last header of the next request. A reverse proxy usually waits 60; with less here it
#: would sometimes send a request into a connection that is being closed, and answer 502.
KEEP_ALIVE_TIMEOUT = 75.0
#: Seconds after which a client that reads nothing is cut off.
STALL_TIMEOUT = 60.0
#: Seconds after which it is cut off when others need its place.
STALL_TIMEOUT_WHEN_FULL = 5.0
#: Seconds that a download waits for room.
FILE_TIMEOUT = 10.0
#: The largest share of the room for files and the connections they are sent on; the rest is for requests.
_SHARE_OF_DOWNLOADS = 3 / 4
#: Seconds between two checks of all connections, and how many are checked before other tasks get a turn.
_PERIOD, _STEP = 1.0, 50
#: When to try again, in seconds.
_RETRY_AFTER = 5


@dataclass(eq=False, slots=True)
class Connection:
    """One connection, from its acceptance to its end. The protocol that makes it sets `cut` and `progress`."""

    customer: str | None
    """The address it counts for; None if it is not counted."""
    cut: Callable[[], None] = lambda: None
    """Ends it now, so that the client sees an error."""
    progress: Callable[[], int | None] = lambda: None
    """A number that grows with what the client takes; None when nothing waits for the client."""
    asked: bool = False
    """Whether a request has come on it."""
    since: float = 0.0
    """When it began to wait: for a request, or for the client to read something."""
    taken: int | None = None
    left: bool = False


@dataclass(eq=False)
class Connections:
    room: int
    per_customer: int
    files: int = 0
    _open: int = 0
    _by_customer: Counter[str] = field(default_factory=Counter)
    # Connections that wait for a request, the longest first. A connection without any request yet has less time.
    _silent: OrderedDict[Connection, None] = field(default_factory=OrderedDict)
    _kept_alive: OrderedDict[Connection, None] = field(default_factory=OrderedDict)
    _resting_of: dict[str, OrderedDict[Connection, None]] = field(default_factory=dict)
    _at_work: dict[Connection, None] = field(default_factory=dict)
    _stalled: OrderedDict[Connection, None] = field(default_factory=OrderedDict)
    _waiting: OrderedDict[asyncio.Future[None], None] = field(default_factory=OrderedDict)  # for room for a file

    def __len__(self) -> int:
        return self._open

    # ---- coming and going

    def admit(self, address: str, *, counted: bool) -> Connection | None:
        """A place for a new connection from `address`, `counted` among that address's; None if there is none."""
        whose = customer(address) if counted else None
        if whose is not None and self._by_customer[whose] >= self.per_customer:
            if not (own := self._resting_of.get(whose)):
                log.warning("%s has %d connections, and is refused more", whose, self.per_customer)
                return None
            self._close(next(iter(own)))
        if not self._make_room():
            log.warning("all %d connections and files are in use; a new connection is refused", self.room)
            return None
        connection = Connection(whose, since=_now())
        self._open += 1
        if whose is not None:
            self._by_customer[whose] += 1
        self._rest(connection)
        return connection

    def leave(self, connection: Connection) -> None:
        """Its descriptor is free again, or about to be."""
        if connection.left:
            return
        connection.left = True
        self._forget(connection)
        self._open -= 1
        if connection.customer is not None:
            self._by_customer[connection.customer] -= 1
            if not self._by_customer[connection.customer]:
                del self._by_customer[connection.customer]

    def begin(self, connection: Connection) -> None:
        """A request has come, and is being answered."""
        if not connection.left:
            self._forget(connection)
            connection.asked, connection.since, connection.taken = True, _now(), None
            self._at_work[connection] = None

    def rest(self, connection: Connection) -> None:
        """The connection is idle: it may be closed when others need its place."""
        if not connection.left:
            self._forget(connection)
            connection.since = _now()
            self._rest(connection)

    @asynccontextmanager
    async def file(self, *, download: bool = True) -> AsyncIterator[None]:
        """While a file is sent, once there is room for it. Raises NotReady when there is none in time."""
        deadline = _now() + FILE_TIMEOUT
        while not self._room_for_file(download):
            if not await self._told_of_room(deadline):
                message = "Too many downloads are running. Try again in a moment."
                raise errors.NotReady(message, retry_after=_RETRY_AFTER)
        self.files += 1
        try:
            yield
        finally:
            self.files -= 1
            self._tell_of_room(1)

    def shed(self, count: int) -> None:
        """Close `count` idle connections, because the system has no descriptors left."""
        for connection in list(itertools.islice(itertools.chain(self._silent, self._kept_alive), count)):
            self._close(connection)

    # ---- making room

    def _make_room(self) -> bool:
        if self._open + self.files < self.room:
            return True
        if waiting := [next(iter(queue)) for queue in (self._silent, self._kept_alive) if queue]:
            self._close(min(waiting, key=lambda connection: connection.since))
            return True
        return self._cut_one_that_stalls()

    def _room_for_file(self, download: bool) -> bool:
        if download and 2 * self.files >= self.room * _SHARE_OF_DOWNLOADS:
            return self._cut_one_that_stalls()
        return self._make_room()

    async def _told_of_room(self, deadline: float) -> bool:
        """Wait for room; False after the deadline. First come, first served."""
        told = asyncio.get_running_loop().create_future()
        self._waiting[told] = None
        try:
            async with asyncio.timeout_at(deadline):
                await told
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(told, None)
        return True

    def _tell_of_room(self, count: int) -> None:
        for told in list(itertools.islice(self._waiting, count)):
            del self._waiting[told]
            if not told.done():
                told.set_result(None)

    def _cut_one_that_stalls(self) -> bool:
        while self._stalled:
            connection = next(iter(self._stalled))
            del self._stalled[connection]
            if connection in self._at_work:
                self._close(connection)
                return True
        return False

    def _close(self, connection: Connection) -> None:
        self.leave(connection)
        connection.cut()

    def _rest(self, connection: Connection) -> None:
        (self._kept_alive if connection.asked else self._silent)[connection] = None
        if connection.customer is not None:
            self._resting_of.setdefault(connection.customer, OrderedDict())[connection] = None

    def _forget(self, connection: Connection) -> None:
        for queue in (self._silent, self._kept_alive, self._at_work, self._stalled):
            queue.pop(connection, None)
        if connection.customer is not None and (own := self._resting_of.get(connection.customer)):
            own.pop(connection, None)
            if not own:
                del self._resting_of[connection.customer]

    # ---- deadlines

    async def watch(self) -> None:
        """Close connections that waited too long, and cut off clients that read nothing. Runs until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD)
            self._close_waiting(self._silent, FIRST_REQUEST_TIMEOUT)
            self._close_waiting(self._kept_alive, KEEP_ALIVE_TIMEOUT)
            await self._look_at_progress()

    def _close_waiting(self, queue: OrderedDict[Connection, None], timeout: float) -> None:
        oldest = _now() - timeout
        for connection in list(itertools.takewhile(lambda one: one.since <= oldest, queue)):
            self._close(connection)

    async def _look_at_progress(self) -> None:
        stalled: list[Connection] = []
        connections = iter(list(self._at_work))
        while step := list(itertools.islice(connections, _STEP)):
            for connection in step:
                if connection in self._at_work and self._has_stalled(connection):
                    stalled.append(connection)
            await asyncio.sleep(0)
        stalled.sort(key=lambda connection: connection.since)
        self._stalled = OrderedDict.fromkeys(one for one in stalled if one in self._at_work)
        self._tell_of_room(len(self._stalled))

    def _has_stalled(self, connection: Connection) -> bool:
        """Whether it has for a while; it is cut off when it has for long."""
        taken, now = connection.progress(), _now()
        if taken is None or taken != connection.taken:
            connection.taken, connection.since = taken, now
            return False
        if now - connection.since >= STALL_TIMEOUT:
            log.debug("a client that took nothing for %g s is cut off", STALL_TIMEOUT)
            self._close(connection)
            return False
        return now - connection.since >= STALL_TIMEOUT_WHEN_FULL


def _now() -> float:
    return asyncio.get_running_loop().time()
