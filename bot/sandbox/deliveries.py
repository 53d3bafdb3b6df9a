"""The webhook sender: a pure retry schedule, and the tasks that send (docs/platform.md, 4)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2

from bot.clock import Clock
from bot.sandbox.records import Delivery, Json, Webhook
from bot.sandbox.switchboard import Switchboard

SCHEDULE = (0.0, 15.0, 60.0, 240.0, 585.0)
"""Seconds before each attempt, since the previous one: five attempts in 15 minutes."""

ANSWER_WITHIN = 20.0
"""Seconds that the target has to answer."""

NEVER_RETRIED = frozenset({400, 401, 403, 404, 406})

TRIGGERS = (
    "conversation:create",
    "conversation:join",
    "conversation:leave",
    "conversation:remove",
    "conversation:message",
    "conversation:message:delivery:channel",
    "conversation:message:delivery:failure",
    "conversation:message:delivery:user",
    "conversation:postback",
    "conversation:read",
    "conversation:referral",
    "conversation:typing",
    "switchboard:acceptControl",
    "switchboard:acceptControl:failure",
    "switchboard:offerControl",
    "switchboard:offerControl:failure",
    "switchboard:passControl",
    "switchboard:passControl:failure",
    "switchboard:releaseControl",
    "client:add",
    "client:remove",
    "client:update",
    "user:merge",
    "user:remove",
    "user:update",
)

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]
"""POSTs a body with headers to a URL; returns the status. Raises `OSError` without one."""


def next_attempt_in(
    attempts: int,
    status: int | None,
    schedule: Sequence[float] = SCHEDULE,
) -> float | None:
    """Return the seconds until the next attempt; None if there is none.

    Args:
        attempts: number of attempts so far, at least 1.
        status: the last answer; None if there was none.
        schedule: seconds before each attempt.
    """
    if status is not None and (200 <= status < 300 or status in NEVER_RETRIED):
        return None
    return schedule[attempts] if attempts < len(schedule) else None


def batches(
    deliveries: Iterable[Delivery],
    webhooks: Iterable[Webhook],
    size: int,
) -> list[tuple[Webhook, list[Json]]]:
    """Group deliveries by webhook and its triggers, in batches of at most `size` events."""
    waiting = list(deliveries)
    cut: list[tuple[Webhook, list[Json]]] = []
    for webhook in webhooks:
        events = [
            dict(delivery.event)
            for delivery in waiting
            if delivery.integration_id == webhook.integration_id and delivery.event["type"] in webhook.triggers
        ]
        cut += [(webhook, events[first : first + size]) for first in range(0, len(events), size)]
    return cut


def envelope(app_id: str, webhook_id: str, events: Sequence[Mapping[str, Any]]) -> Json:
    """The body of a delivery."""
    return {
        "app": {"id": app_id},
        "webhook": {"id": webhook_id, "version": "v2"},
        "events": list(events),
    }


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a delivery.

    Attributes:
        at: when it ended.
        webhook_id: the webhook's id.
        number: counted from 1.
        status: the answer's status; None if there was none.
        event_ids: ids of the events in the delivery.
        final: whether there will be no further attempt.
    """

    at: datetime
    webhook_id: str
    number: int
    status: int | None
    event_ids: tuple[str, ...]
    final: bool

    @property
    def delivered(self) -> bool:
        """Whether the answer was 2xx."""
        return self.status is not None and 200 <= self.status < 300


class Sender:
    """Posts a switchboard's events to the webhooks, one task per delivery.

    Args:
        switchboard: the source of the events.
        clock: for the times in the record.
        post: posts a delivery; real HTTP by default.
        time_scale: factor for the pauses between attempts (not for the answer's timeout).
        batch: maximum number of events per delivery.
        concurrency: maximum number of concurrent deliveries.

    Attributes:
        attempts: the record of all attempts.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        clock: Clock,
        *,
        post: Post | None = None,
        time_scale: float = 1.0,
        batch: int = 1,
        concurrency: int = 50,
    ) -> None:
        self.attempts: list[Attempt] = []
        self._switchboard = switchboard
        self._clock = clock
        self._post = post
        self._client: httpx2.AsyncClient | None = None
        self._schedule = tuple(seconds * time_scale for seconds in SCHEDULE)
        self._batch = batch
        self._slots = asyncio.Semaphore(concurrency)
        self._woken = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Send pending events, and from now on new ones."""
        if self._post is None:
            # No timeout here: `_try` applies the platform's.
            self._client = httpx2.AsyncClient(trust_env=False, timeout=None)
        self._switchboard.on_outgoing = self._woken.set
        self._woken.set()
        self._pump = asyncio.create_task(self._run(), name="sandbox webhook sender")

    async def stop(self) -> None:
        """Cancel all deliveries and stop."""
        self._switchboard.on_outgoing = None
        tasks = [task for task in (self._pump, *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pump = None
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    @property
    def is_idle(self) -> bool:
        """Whether there is no delivery pending or in progress."""
        return not self._woken.is_set() and not self._tasks

    async def settled(self) -> None:
        """Wait until all events so far are delivered or given up."""
        while self._pump is not None and (self._woken.is_set() or self._tasks):
            if self._tasks:
                await asyncio.wait(tuple(self._tasks))
            else:
                await asyncio.sleep(0)

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            for webhook, events in batches(
                self._switchboard.drain(),
                self._switchboard.webhooks.values(),
                self._batch,
            ):
                task = asyncio.create_task(
                    self._deliver(webhook, events),
                    name=f"delivery to {webhook.target}",
                )
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _deliver(self, webhook: Webhook, events: list[Json]) -> None:
        body = json.dumps(
            envelope(self._switchboard.app_id, webhook.id, events),
            ensure_ascii=False,
        ).encode()
        event_ids = tuple(event["id"] for event in events)
        wait: float | None = self._schedule[0]
        number = 0
        while wait is not None:
            await asyncio.sleep(wait)
            number += 1
            status = await self._try(self._switchboard.webhooks.get(webhook.id, webhook), body)
            wait = next_attempt_in(number, status, self._schedule)
            at = self._clock.now()
            self.attempts.append(
                Attempt(at, webhook.id, number, status, event_ids, final=wait is None),
            )

    async def _try(self, webhook: Webhook, body: bytes) -> int | None:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "X-API-Key": webhook.secret,
        }
        async with self._slots:
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    return await (self._post or self._post_http)(webhook.target, headers, body)
            except (OSError, TimeoutError):
                return None

    async def _post_http(self, target: str, headers: Mapping[str, str], body: bytes) -> int:
        if self._client is None:
            raise OSError("The sender has been stopped.")
        try:
            response = await self._client.post(target, headers=dict(headers), content=body)
        except httpx2.HTTPError as error:
            raise OSError(str(error)) from error
        return response.status_code
