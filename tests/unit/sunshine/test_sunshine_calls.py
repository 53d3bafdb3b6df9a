"""How a call is made: what is sent, what is tried again, what an observer is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import httpx2
import pytest
import stamina
from sunshine_samples import CONVERSATION, client_with, in_virtual_time, never_called

from bot.control.facts import Answer
from bot.sunshine import (
    LATE,
    Call,
    RateLimited,
    Refused,
    ServerError,
    SunshineClient,
    SunshineError,
)

FOUND = {"conversation": {"id": CONVERSATION}}


@pytest.fixture(autouse=True)
def silent_retries() -> Iterator[None]:
    """stamina's hooks are process-wide, and count into the global Prometheus registry."""
    hooks = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([])
    yield
    stamina.instrumentation.set_on_retry_hooks(hooks)


class TestBody:
    async def test_half_a_character_is_sent_as_a_question_mark(self) -> None:
        sent = []

        def keep(request: httpx2.Request) -> httpx2.Response:
            sent.append(request.content)
            return httpx2.Response(201, json={})

        async with client_with(keep) as client:
            await client.post_message(CONVERSATION, {"type": "text", "text": "grün \ud83d"})
        assert '"text":"grün ?"'.encode() in sent[0]

    async def test_frozen_values_are_sent_like_others(self) -> None:
        sent = []

        def keep(request: httpx2.Request) -> httpx2.Response:
            sent.append(request.content)
            return httpx2.Response(200, json={})

        async with client_with(keep) as client:
            await client.release_control(CONVERSATION, MappingProxyType({"tags": ("a", "b")}))
        assert sent == [b'{"metadata":{"tags":["a","b"]}}']

    @pytest.mark.parametrize("value", [float("nan"), object(), b"bytes", {1, 2}])
    async def test_what_is_not_json_is_refused_unsent(self, value: object) -> None:
        async with client_with(never_called) as client:
            with pytest.raises(Refused) as raised:
                await client.post_message(CONVERSATION, {"type": "text", "text": value})
        assert "bytes" not in str(raised.value)


class Tries:
    """A platform that gives the answers of a list, one a try, and keeps the times of the tries."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.times: list[float] = []

    def __call__(self, _: httpx2.Request) -> httpx2.Response:
        self.times.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


async def get_conversation(platform: Callable[[httpx2.Request], Any], **options: Any) -> None:
    async with client_with(platform, **options) as client:
        await client.get_conversation(CONVERSATION)


def found() -> httpx2.Response:
    return httpx2.Response(200, json=FOUND)


class TestRetries:
    """In virtual time: stamina waits with `asyncio.sleep`."""

    @pytest.mark.parametrize(
        "failure",
        [httpx2.Response(429), httpx2.Response(500), httpx2.ConnectError("no"), httpx2.ReadTimeout("slow")],
        ids=["429", "500", "not sent", "no answer"],
    )
    def test_a_read_is_tried_again_after_growing_pauses(self, failure: httpx2.Response | Exception) -> None:
        platform = Tries(failure, failure, found())
        in_virtual_time(get_conversation(platform, read_attempts=3))
        first, second = platform.pauses
        assert 0.5 <= first <= 1.0  # 0.5 s, and up to 0.5 s of jitter
        assert 1.0 <= second <= 1.5

    def test_pauses_are_capped(self) -> None:
        platform = Tries(*[httpx2.Response(500)] * 11, found())
        in_virtual_time(get_conversation(platform, read_attempts=12))
        assert max(platform.pauses) == pytest.approx(30)

    def test_a_read_is_tried_as_often_as_was_said(self) -> None:
        platform = Tries(*[httpx2.Response(500)] * 5)
        with pytest.raises(ServerError):
            in_virtual_time(get_conversation(platform, read_attempts=3))
        assert len(platform.times) == 3

    def test_once_is_the_default(self) -> None:
        platform = Tries(httpx2.Response(500), found())
        with pytest.raises(ServerError):
            in_virtual_time(get_conversation(platform))
        assert platform.pauses == []

    def test_at_least_once(self) -> None:
        with pytest.raises(ValueError, match="attempt"):
            client_with(never_called, read_attempts=0)

    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after_is_heeded(self, status: int) -> None:
        platform = Tries(httpx2.Response(status, headers={"Retry-After": "17"}), found())
        in_virtual_time(get_conversation(platform, read_attempts=2))
        assert platform.pauses == [pytest.approx(17)]

    def test_who_asks_for_too_long_a_pause_is_not_asked_again(self) -> None:
        platform = Tries(httpx2.Response(429, headers={"Retry-After": "3600"}), found())
        with pytest.raises(RateLimited) as raised:
            in_virtual_time(get_conversation(platform, read_attempts=4))
        assert raised.value.retry_after == timedelta(hours=1)
        assert platform.pauses == []

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 423])
    def test_a_refusal_is_final(self, status: int) -> None:
        platform = Tries(httpx2.Response(status), found())
        with pytest.raises(Refused):
            in_virtual_time(get_conversation(platform, read_attempts=4))
        assert platform.pauses == []

    @pytest.mark.parametrize(
        "failure",
        [httpx2.Response(429), httpx2.Response(500), httpx2.ConnectError("no"), httpx2.ReadTimeout("slow")],
        ids=["429", "500", "not sent", "no answer"],
    )
    @pytest.mark.parametrize(
        "change",
        [
            lambda client: client.release_control(CONVERSATION),
            lambda client: client.post_message(CONVERSATION, {"type": "text", "text": "Hi"}),
            lambda client: client.update_webhook("i", "w", {}),
        ],
        ids=["release_control", "post_message", "update_webhook"],
    )
    def test_nothing_but_a_read_is_ever_tried_twice(
        self, change: Callable[[SunshineClient], Awaitable[None]], failure: httpx2.Response | Exception
    ) -> None:
        async def run() -> None:
            async with client_with(platform, read_attempts=4) as client:
                await change(client)

        platform = Tries(failure, httpx2.Response(200))
        with pytest.raises(SunshineError):
            in_virtual_time(run())
        assert len(platform.times) == 1


class TestCancellation:
    @pytest.mark.parametrize("read_attempts", [1, 4])
    async def test_it_passes_through_and_nothing_is_tried_again(self, read_attempts: int) -> None:
        arrived: asyncio.Queue[None] = asyncio.Queue()

        async def hang(_: httpx2.Request) -> httpx2.Response:
            arrived.put_nowait(None)
            await asyncio.Event().wait()
            raise AssertionError

        calls: list[Call] = []
        task = asyncio.create_task(get_conversation(hang, read_attempts=read_attempts, observe=calls.append))
        await arrived.get()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert arrived.empty()
        assert [(call.outcome, call.status) for call in calls] == [(Answer.UNCLEAR, None)]

    def test_it_reaches_a_call_that_pauses_before_the_next_try(self) -> None:
        async def run() -> float:
            task = asyncio.create_task(get_conversation(platform, read_attempts=4))
            await asyncio.sleep(5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return asyncio.get_running_loop().time()

        platform = Tries(httpx2.Response(429, headers={"Retry-After": "20"}), found())
        assert in_virtual_time(run()) == pytest.approx(5)
        assert len(platform.times) == 1


class TestObservation:
    @pytest.mark.parametrize(
        ("answer", "outcome", "status"),
        [
            (httpx2.Response(200, json=FOUND), Answer.ACCEPTED, 200),
            (httpx2.Response(403), Answer.NOT_OURS, 403),
            (httpx2.Response(404), Answer.GONE, 404),
            (httpx2.Response(400), Answer.REFUSED, 400),
            (httpx2.Response(429), Answer.RATE_LIMITED, 429),
            (httpx2.Response(500), Answer.UNCLEAR, 500),
            (httpx2.Response(200, content=b"<html>"), Answer.UNCLEAR, 200),
            (httpx2.ConnectError("no"), Answer.NOT_SENT, None),
            (httpx2.ReadTimeout("slow"), Answer.UNCLEAR, None),
        ],
    )
    def test_a_call_tells_how_it_went(
        self, answer: httpx2.Response | Exception, outcome: Answer, status: int | None
    ) -> None:
        calls: list[Call] = []

        async def run() -> None:
            async with client_with(Tries(answer), observe=calls.append) as client:
                await client.get_conversation(CONVERSATION)

        with suppress(SunshineError):
            in_virtual_time(run())
        (call,) = calls
        assert (call.action, call.outcome, call.status, call.seconds) == ("get_conversation", outcome, status, 0.0)
        assert bool(call.problem) == (outcome is not Answer.ACCEPTED)

    def test_every_try_is_told_with_its_time(self) -> None:
        async def slow(_: httpx2.Request) -> httpx2.Response:
            await asyncio.sleep(2)
            return httpx2.Response(500)

        calls: list[Call] = []
        with pytest.raises(ServerError):
            in_virtual_time(get_conversation(slow, read_attempts=2, observe=calls.append))
        assert [call.seconds for call in calls] == [pytest.approx(2), pytest.approx(2)]


class TestLate:
    """A call without an answer is told of while it waits."""

    @pytest.mark.parametrize(("seconds", "told"), [(LATE - 0.1, []), (LATE + 0.1, ["release_control"])])
    def test_slow_answers(self, seconds: float, told: list[str]) -> None:
        """Once it has waited for too long, and once only."""
        late: list[str] = []

        async def slow(_: httpx2.Request) -> httpx2.Response:
            await asyncio.sleep(seconds)
            return httpx2.Response(200, json={})

        async def release() -> None:
            async with client_with(slow, on_late=late.append) as client:
                await client.release_control(CONVERSATION)
                await asyncio.sleep(2 * LATE)

        in_virtual_time(release())
        assert late == told
