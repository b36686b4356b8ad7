"""The deliveries of this server: takes the ends of conversions, keeps them in the database, and sends them.

A conversion's own record names its webhook until the delivery is there; both change in one commit. So an end is told
whenever the server dies. A delivery that was sent but not yet removed is sent again, with the same id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .. import errors
from ..jobs import Conversion
from ..metrics import Metrics
from ..storage.state import Record, State
from . import delivery, requests, signature
from .delivery import Delivery
from .sender import NotDelivered, Sender
from .waiting import Waiting

log = logging.getLogger(__name__)

#: The state's table of deliveries.
TABLE = "webhooks"
#: Deliveries of one key that may wait, together with the conversions that will need one.
MOST = 1000
#: Seconds for which a delivery is kept that was given up, and how many of those.
KEPT_SECONDS, KEPT = 7 * 86_400.0, 1000
#: Seconds between two looks at the clock and at the owner's requests.
_PERIOD = 1.0
#: Seconds between two looks for what is too old.
_FORGET_EVERY = 60.0
_RETRY_AFTER = 60
_NO_SECRET = "its key is gone, or has no webhook secret"  # noqa: S105  # a message


class Webhooks:
    """`secret_of` knows the secret of a key by its name, `render` the object of a conversion."""

    def __init__(
        self,
        state: State,
        sender: Sender,
        *,
        secret_of: Callable[[str], str],
        render: Callable[[Conversion, str], bytes],
        metrics: Metrics,
        folder: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._sender = sender
        self._secret_of = secret_of
        self._render = render
        self._metrics = metrics
        self._folder = folder
        self._clock = clock
        self._ended: deque[Conversion] = deque()
        self._wake = asyncio.Event()
        self._look_at = self._forget_at = 0.0  # by the loop's clock
        self._attempts: set[asyncio.Task[None]] = set()
        self.waiting = Waiting()
        #: Called with a conversion whose delivery is there, in the step in which that is written.
        self.on_taken: Callable[[Conversion], None] = lambda conversion: None

    def ended(self, conversion: Conversion) -> None:
        """Tell the receiver that this conversion, which names a webhook, has ended."""
        self._ended.append(conversion)
        self._wake.set()

    def check_room(self, owner: str, new: int) -> None:
        """Raise QueueFull unless the key may have `new` more deliveries, those of running conversions included."""
        ended = sum(conversion.owner == owner for conversion in self._ended)
        if self.waiting.of_owner(owner) + ended + new > MOST:
            raise errors.QueueFull(
                f"{MOST} webhooks of this key wait for delivery, or for the end of their conversion. Try again later, "
                "or without webhook_url.",
                retry_after=_RETRY_AFTER,
            )

    def restore(self, rows: Iterable[tuple[str, Record]]) -> None:
        """Go on delivering after a restart."""
        for one in self._state.understood(TABLE, rows, Delivery.restored, "webhooks"):
            self.waiting.enter(one)
        self._state.written_anew_from(TABLE, self._snapshots)

    def _snapshots(self) -> Iterator[tuple[str, Record]]:
        for one in self.waiting:
            yield one.id, one.record()

    async def run_forever(self) -> None:
        """Deliver until cancelled. What is under way then is sent again by the next start."""
        async with self._sender:
            try:
                while True:
                    await self._take_ended()
                    await self._look()
                    self._start()
                    await self._pause()
            finally:
                for task in self._attempts:
                    task.cancel()
                await asyncio.gather(*self._attempts, return_exceptions=True)

    async def _pause(self) -> None:
        """Until there is something to do, or it is time to look."""
        left = self.waiting.seconds_to_next(self._clock())
        try:
            async with asyncio.timeout(min(_PERIOD, _PERIOD if left is None else left)):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _look(self) -> None:
        """Take the owner's requests, and forget what is old, once in a while."""
        if (now := asyncio.get_running_loop().time()) >= self._look_at:
            self._look_at = now + _PERIOD
            self._retry(await asyncio.to_thread(requests.take, self._folder))
        if now >= self._forget_at:
            self._forget_at = now + _FORGET_EVERY
            self._forget_old()

    async def _take_ended(self) -> None:
        """Make deliveries of what has ended, with turns for others: a job may have a thousand sharers."""
        while self._ended:
            conversion = self._ended.popleft()
            if (wanted := conversion.webhook) is None:
                continue
            made = delivery.of(conversion, wanted.url, self._render(conversion, wanted.base_url), self._clock())
            if self.waiting.get(made.id) is None:
                self.waiting.enter(made)
                self._state.note(TABLE, {made.id: made.record()})
            self.on_taken(conversion)
            await asyncio.sleep(0)

    def _retry(self, ids: Iterable[str]) -> None:
        now = self._clock()
        for one in map(self.waiting.get, ids):
            if one and self.waiting.take_up(one, now):
                self._state.note(TABLE, {one.id: one.record()})

    def _start(self) -> None:
        while one := self.waiting.next(self._clock()):
            task = asyncio.create_task(self._attempt(one), name=f"webhook {one.id}")
            self._attempts.add(task)
            task.add_done_callback(self._attempts.discard)

    async def _attempt(self, one: Delivery) -> None:
        try:
            await self._written(one)
            await self._send(one)
        except NotDelivered as failure:
            self._failed(one, failure)
        except Exception:
            log.exception("webhook %s of %s to %s failed unexpectedly", one.id, one.owner, one.host)
            self._failed(one, NotDelivered("of a fault in this server; its log says more"))
        else:
            log.info("webhook %s of %s was delivered to %s", one.id, one.owner, one.host)
            self._metrics.webhooks.labels("delivered").inc()
            self.waiting.forget(one)
            self._state.note(TABLE, {one.id: None})
        finally:
            self.waiting.done(one)
            self._wake.set()

    async def _written(self, one: Delivery) -> None:
        """Before the first attempt, wait until the end is on disk: otherwise a crash could end it differently."""
        if one.attempts == 0:
            try:
                await self._state.commit(TABLE, {one.id: one.record()})
            except OSError:
                return  # a full disk must not delay the delivery; the end waits for the disk, too

    async def _send(self, one: Delivery) -> None:
        body = one.body.encode()
        if not (secret := self._secret_of(one.owner)):
            raise NotDelivered(_NO_SECRET)
        await self._sender.post(one.url, body, signature.headers(secret, one.id, int(self._clock()), body))

    def _failed(self, one: Delivery, failure: NotDelivered) -> None:
        one.failed(failure.reason, self._clock(), for_good=failure.for_good)
        if one.given_up:
            log.warning("webhook %s of %s to %s is given up: %s", one.id, one.owner, one.host, one.failure)
            self.waiting.give_up(one)
        else:
            log.info("webhook %s of %s to %s failed: %s", one.id, one.owner, one.host, one.failure)
            self.waiting.schedule(one)
        self._metrics.webhooks.labels("given_up" if one.given_up else "failed").inc()
        self._state.note(TABLE, {one.id: one.record()})

    def _forget_old(self) -> None:
        """Forget what was given up long ago, and the oldest beyond a bound."""
        given_up = sorted((one for one in self.waiting if one.given_up), key=lambda one: -one.created)
        oldest = self._clock() - KEPT_SECONDS
        gone = [one for number, one in enumerate(given_up) if number >= KEPT or one.created < oldest]
        for one in gone:
            self.waiting.forget(one)
        if gone:
            self._state.note(TABLE, dict.fromkeys(one.id for one in gone))
