"""The webhook sender: schedule, batches, retries and triggers (docs/platform.md, section 4)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import Any

import pytest

from bot.sandbox import Delivery, Post, Sender, Webhook, batches, next_attempt_in
from bot.sandbox.deliveries import ANSWER_TIMEOUT, RETRY_DELAYS


class Fixed:
    """A clock that stands still."""

    def now(self) -> datetime:
        """Always the same."""
        return datetime(2026, 3, 1, tzinfo=UTC)


class Target:
    """Where webhooks go: answers what it is told to, and keeps what came."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.posts: list[tuple[str, dict[str, str], Any]] = []

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Take a delivery."""
        self.posts.append((url, dict(headers), json.loads(body)))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_schedule_is_five_attempts_in_fifteen_minutes() -> None:
    """Five attempts, at growing intervals, the last one 15 minutes after the first."""
    moments = list(accumulate(RETRY_DELAYS))
    gaps = [later - earlier for earlier, later in pairwise(moments)]

    assert (len(moments), moments[0], moments[-1]) == (5, 0, 900)
    assert gaps == sorted(gaps)
    assert ANSWER_TIMEOUT == 20


@pytest.mark.parametrize(
    ("attempts", "status", "wait"),
    [
        (1, 200, None),
        (1, 204, None),
        *[(1, status, None) for status in (400, 401, 403, 404, 406)],
        *[(1, status, 15.0) for status in (None, 302, 402, 405, 408, 413, 429, 500, 503)],
        (2, 503, 60.0),
        (3, None, 240.0),
        (4, 503, 585.0),
        (5, 503, None),
    ],
)
def test_next_attempt(attempts: int, status: int | None, wait: float | None) -> None:
    """2xx ends, so do 400, 401, 403, 404 and 406; everything else is tried again, five times in all."""
    assert next_attempt_in(attempts, status) == wait


def test_batches() -> None:
    """Events go to their integration's webhook, in order, in bodies of the given size, and only its triggers."""
    one = Webhook("w1", "one", "http://one", ("a", "b"), "s")
    two = Webhook("w2", "two", "http://two", ("a",), "s")
    waiting = [
        Delivery(name, {"id": f"{name}{number}", "type": kind})
        for number, kind in enumerate("abac")
        for name in ("one", "two", "three")
    ]

    cut = [(webhook.id, [event["id"] for event in events]) for webhook, events in batches(waiting, (one, two), 2)]

    assert cut == [("w1", ["one0", "one1"]), ("w1", ["one2"]), ("w2", ["two0", "two2"])]


@asynccontextmanager
async def sending(world: Any, target: Post, **options: Any) -> AsyncIterator[Sender]:
    """A sender at work, with a webhook for messages and releases."""
    triggers = ["conversation:message", "switchboard:releaseControl"]
    body = {"target": "http://bot.invalid/hook", "triggers": triggers}
    world.board.create_webhook(world.bot.integration_id, body, world.app_key, secret="s3cret")
    sender = Sender(world.board, Fixed(), post=target, time_scale=0, **options)
    await sender.start()
    try:
        yield sender
    finally:
        await sender.stop()


async def test_delivery_as_posted(world: Any) -> None:
    """A delivery has the app, the webhook, the events, and the secret in X-API-Key."""
    target = Target()
    conversation = world.conversation()
    async with sending(world, target) as sender:
        world.board.user_says(conversation.id, "hi", now=world.now)
        await sender.settled()

    ((url, headers, body),) = target.posts
    (webhook,) = world.board.webhooks.values()
    assert url == "http://bot.invalid/hook"
    assert headers["X-API-Key"] == "s3cret"
    assert set(body) == {"app", "webhook", "events"}
    assert body["app"] == {"id": world.board.app_id}
    assert body["webhook"] == {"id": webhook.id, "version": "v2"}
    assert [event["type"] for event in body["events"]] == ["conversation:message"]


async def test_retries_keep_the_event_id(world: Any) -> None:
    """A retry is the same delivery with the same event id, until it is answered 2xx."""
    target = Target(503, ConnectionError(), TimeoutError(), 200)
    conversation = world.conversation()
    async with sending(world, target) as sender:
        world.board.user_says(conversation.id, "hi", now=world.now)
        await sender.settled()

    assert len(target.posts) == 4
    assert all(post == target.posts[0] for post in target.posts)
    assert [(a.number, a.status, a.final, a.delivered) for a in sender.attempts] == [
        (1, 503, False, False),
        (2, None, False, False),
        (3, None, False, False),
        (4, 200, True, True),
    ]


@pytest.mark.parametrize(("answer", "tries"), [(400, 1), (401, 1), (403, 1), (404, 1), (406, 1), (500, 5)])
async def test_giving_up(world: Any, answer: int, tries: int) -> None:
    """Five of the answers end it at once; others after five attempts."""
    target = Target(*[answer] * 9)
    conversation = world.conversation()
    async with sending(world, target) as sender:
        world.board.user_says(conversation.id, "hi", now=world.now)
        await sender.settled()

    assert len(target.posts) == tries
    assert sender.attempts[-1].final
    assert not sender.attempts[-1].delivered


async def test_only_triggers(world: Any) -> None:
    """What a webhook has no trigger for is not sent."""
    target = Target()
    async with sending(world, target) as sender:
        conversation = world.board.create_conversation(world.user, now=world.now)
        world.board.release_control(conversation.id, world.bot_key, world.now)
        await sender.settled()

    assert [event["type"] for _, _, body in target.posts for event in body["events"]] == ["switchboard:releaseControl"]


async def test_batch(world: Any) -> None:
    """Several events that wait go out together if the sender may."""
    target = Target()
    conversation = world.conversation()
    async with sending(world, target, batch=10) as sender:
        for text in "abc":
            world.board.user_says(conversation.id, text, now=world.now)
        await sender.settled()

    assert [len(body["events"]) for _, _, body in target.posts] == [3]


async def test_slow_answer_is_a_failure(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer in time counts as failure, and the delivery is tried again."""
    monkeypatch.setattr("bot.sandbox.deliveries.ANSWER_TIMEOUT", 0.01)
    calls = 0

    async def slow(_url: str, _headers: Mapping[str, str], _body: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(60)
        return 200

    conversation = world.conversation()
    async with sending(world, slow) as sender:
        world.board.user_says(conversation.id, "hi", now=world.now)
        await sender.settled()

    assert [attempt.status for attempt in sender.attempts] == [None, 200]


async def test_stop_ends_all_tasks(world: Any) -> None:
    """Stopping leaves no task behind, whatever is under way."""

    async def never(_url: str, _headers: Mapping[str, str], _body: bytes) -> int:
        await asyncio.Event().wait()
        return 200

    conversation = world.conversation()
    before = asyncio.all_tasks()
    async with sending(world, never):
        world.board.user_says(conversation.id, "hi", now=world.now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert asyncio.all_tasks() == before


async def test_what_waits_at_the_start_is_sent(world: Any) -> None:
    """Events from before the start go out as well."""
    target = Target()
    conversation = world.conversation()
    world.board.user_says(conversation.id, "hi", now=world.now)
    async with sending(world, target) as sender:
        idle = [sender.is_idle]
        await sender.settled()
        idle.append(sender.is_idle)

    assert idle == [False, True]
    assert len(target.posts) == 1
