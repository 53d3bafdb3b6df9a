"""One call of the API: the request, retries of reads, and what an observer is told of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any, Final

import httpx2
import stamina

from bot.clock import Clock
from bot.control.facts import Answer
from bot.sunshine.addresses import check_base_url, segment
from bot.sunshine.errors import NoAnswer, NotSent, RateLimited, Refused, SunshineError, Unclear, to_answer
from bot.sunshine.replies import Reply, read_reply

LONGEST_WAIT: Final = timedelta(seconds=30)
"""The longest pause before a read is tried again; who asks for a longer one gets no further try."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a call may take, in seconds.

    Attributes:
        connect: to make a connection.
        read: between two pieces of the answer.
        write: between two pieces of the request.
        pool: for a free connection.
        total: for all of it, so that an answer that trickles in can't hold a conversation up.
    """

    connect: float = 3
    read: float = 10
    write: float = 10
    pool: float = 5
    total: float = 30


@dataclass(frozen=True, slots=True)
class Call:
    """One try of one call, for metrics and logs.

    Attributes:
        action: the client's method.
        outcome: how it went; a call that was cancelled is unclear.
        status: the HTTP status; None where there was no answer.
        seconds: how long it took.
        code: the API's error code; empty where there is none.
        problem: the error in words without secrets and texts; empty if there was none, or the call was cancelled.
    """

    action: str
    outcome: Answer
    status: int | None
    seconds: float
    code: str = ""
    problem: str = ""


Observer = Callable[[Call], None]
"""Is told of every try; must not raise."""

LATE = 5.0
"""Seconds without an answer until a call is late."""

Late = Callable[[str], None]
"""Is told the action of a call that is late, while that waits on; must not raise."""


_URLS = 1024  # that are remembered: to read one is a sixth of the client's work, and a conversation needs the same few


class Caller:
    """Makes calls; every failure is a `SunshineError`, and a cancellation passes through.

    Args:
        base_url: such as `https://SUBDOMAIN.zendesk.com/sc`.
        auth: puts the key on requests.
        clock: dates the answers.
        transport: what carries the requests; None: the network.
        timeouts: how long a call may take.
        read_attempts: how often a read is tried; nothing else is ever tried twice.
        observe: is told of every try.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: httpx2.Auth,
        clock: Clock,
        transport: httpx2.AsyncBaseTransport | None,
        timeouts: Timeouts,
        read_attempts: int,
        observe: Observer | None,
        on_late: Late | None = None,
    ) -> None:
        if read_attempts < 1:
            raise ValueError("a read needs at least one attempt")
        self._url = lru_cache(_URLS)(partial(_url_of, check_base_url(base_url)))
        self._clock = clock
        self._total = timeouts.total
        self._observe = observe
        self._on_late = on_late
        self._http = httpx2.AsyncClient(
            auth=auth,
            transport=transport,
            timeout=httpx2.Timeout(
                connect=timeouts.connect, read=timeouts.read, write=timeouts.write, pool=timeouts.pool
            ),
            headers={"User-Agent": "switchboard-bot", "Accept": "application/json", "Accept-Encoding": "gzip, deflate"},
            follow_redirects=False,
            trust_env=False,
        )
        # Waits with asyncio.sleep, and has no limit in machine time: so it works in a loop with virtual time.
        self._retries = stamina.AsyncRetryingCaller(
            attempts=read_attempts, timeout=None, wait_initial=0.5, wait_max=LONGEST_WAIT, wait_jitter=0.5
        )

    async def aclose(self) -> None:
        """Close the connections; what is called later fails as `NotSent`."""
        await self._http.aclose()

    async def read(self, action: str, *path: str, params: Mapping[str, str] | None = None) -> Reply:
        """GET `/v2/apps/<path>`, tried again where that can help."""
        request = self._build(action, "GET", path, params=params)
        return await self._retries(_pause, self._try, action, request)

    async def write(self, action: str, method: str, *path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """POST, PATCH or DELETE `/v2/apps/<path>` once."""
        return await self._try(action, self._build(action, method, path, body=body))

    def _build(
        self,
        action: str,
        method: str,
        path: tuple[str, ...],
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> httpx2.Request:
        try:
            url = self._url(path)
            if body is None:
                return self._http.build_request(method, url, params=params)
            headers = {"Content-Type": "application/json"}
            return self._http.build_request(method, url, content=_to_json(body), headers=headers)
        except (httpx2.InvalidURL, ValueError, TypeError) as error:
            raise Refused(action, detail=f"it can't be a request: {type(error).__name__}") from error

    async def _try(self, action: str, request: httpx2.Request) -> Reply:
        loop = asyncio.get_running_loop()
        began = loop.time()
        status: int | None = None
        outcome, code, problem = Answer.UNCLEAR, "", ""
        late = loop.call_later(LATE, self._on_late, action) if self._on_late else None
        try:
            started = self._clock.now()
            response = await self._send(action, request)
            status = response.status_code
            reply = read_reply(action, response, started)
            outcome = Answer.ACCEPTED
        except SunshineError as error:
            outcome, code, problem = to_answer(error), error.code, str(error)
            raise
        finally:
            if late:
                late.cancel()
            if self._observe:
                self._observe(Call(action, outcome, status, loop.time() - began, code, problem))
        return reply

    async def _send(self, action: str, request: httpx2.Request) -> httpx2.Response:
        if self._http.is_closed:
            raise NotSent(action, detail="the client is closed")
        try:
            async with asyncio.timeout(self._total):
                return await self._http.send(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise NotSent(action, detail=str(error) or type(error).__name__) from error
        except (httpx2.HTTPError, OSError) as error:  # OSError holds TimeoutError: the total is used up
            raise NoAnswer(action, detail=type(error).__name__) from error


def _url_of(base_url: str, path: tuple[str, ...]) -> httpx2.URL:
    return httpx2.URL("/".join((base_url, "v2", "apps", *map(segment, path))))


def _to_json(body: Mapping[str, Any]) -> bytes:
    # Half a surrogate pair, as users can send it, has no UTF-8: it becomes a question mark.
    text = json.dumps(body, default=_to_dict, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _to_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _pause(error: Exception) -> bool | timedelta:
    """Is a failed read tried again, and after which pause? (True: after the usual one, which grows.)"""
    if not isinstance(error, (RateLimited, NotSent, Unclear)):
        return False
    if error.retry_after is None:
        return True
    return error.retry_after <= LONGEST_WAIT and error.retry_after
