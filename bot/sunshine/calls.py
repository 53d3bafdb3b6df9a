"""API calls: builds requests, retries reads, and reports each attempt to an observer."""

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

MAX_RETRY_PAUSE: Final = timedelta(seconds=30)
"""Maximum pause before a retry. If Retry-After is longer, the read is not retried."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The timeouts of a call, in seconds.

    Attributes:
        connect: for connecting.
        read: between two pieces of the answer.
        write: between two pieces of the request.
        pool: for a free connection.
        total: for the whole call, so that a trickling answer can't block a conversation.
    """

    connect: float = 3
    read: float = 10
    write: float = 10
    pool: float = 5
    total: float = 30


@dataclass(frozen=True, slots=True)
class Call:
    """An attempt of a call, for metrics and logs.

    Attributes:
        action: the client's method.
        outcome: the outcome; unclear for a cancelled call.
        status: the HTTP status; None without an answer.
        seconds: the duration.
        code: the API's error code; empty if there is none.
        problem: the error message, without secrets and message texts; empty for success and
            for a cancelled call.
    """

    action: str
    outcome: Answer
    status: int | None
    seconds: float
    code: str = ""
    problem: str = ""


Observer = Callable[[Call], None]
"""Called with every attempt; must not raise."""

LATE = 5.0
"""Seconds without an answer after which a call counts as late."""

Late = Callable[[str], None]
"""Called with the action of a late call, which keeps waiting; must not raise."""

# Cache parsed URLs: parsing takes a sixth of the client's time, and conversations reuse a few.
_CACHED_URLS = 1024


class Caller:
    """Makes calls. Every failure is a `SunshineError`; cancellation passes through.

    Args:
        base_url: such as `https://SUBDOMAIN.zendesk.com/sc`.
        auth: adds the key to requests.
        clock: dates the answers.
        transport: sends the requests; None for the network.
        timeouts: the timeouts of a call.
        read_attempts: number of attempts for reads. Other calls are never retried.
        observe: called with every attempt.
        on_late: called with the action of a late call.
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
        self._url = lru_cache(_CACHED_URLS)(partial(_url_of, check_base_url(base_url)))
        self._clock = clock
        self._total = timeouts.total
        self._observe = observe
        self._on_late = on_late
        self._http = httpx2.AsyncClient(
            auth=auth,
            transport=transport,
            timeout=httpx2.Timeout(
                connect=timeouts.connect,
                read=timeouts.read,
                write=timeouts.write,
                pool=timeouts.pool,
            ),
            headers={
                "User-Agent": "switchboard-bot",
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
            },
            follow_redirects=False,
            trust_env=False,
        )
        # Works with virtual time: it waits with asyncio.sleep, and has no timeout of its own.
        self._retries = stamina.AsyncRetryingCaller(
            attempts=read_attempts,
            timeout=None,
            wait_initial=0.5,
            wait_max=MAX_RETRY_PAUSE,
            wait_jitter=0.5,
        )

    async def aclose(self) -> None:
        """Close the connections. Later calls raise `NotSent`."""
        await self._http.aclose()

    async def read(
        self,
        action: str,
        *path: str,
        params: Mapping[str, str] | None = None,
    ) -> Reply:
        """GET `/v2/apps/<path>`, with retries."""
        request = self._build(action, "GET", path, params=params)
        return await self._retries(_retry_pause, self._try, action, request)

    async def write(
        self,
        action: str,
        method: str,
        *path: str,
        body: Mapping[str, Any] | None = None,
    ) -> Reply:
        """POST, PATCH or DELETE `/v2/apps/<path>`, without retries."""
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
            raise Refused(action, detail=f"invalid request: {type(error).__name__}") from error

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
                seconds = loop.time() - began
                self._observe(Call(action, outcome, status, seconds, code, problem))
        return reply

    async def _send(self, action: str, request: httpx2.Request) -> httpx2.Response:
        if self._http.is_closed:
            raise NotSent(action, detail="the client is closed")
        try:
            async with asyncio.timeout(self._total):
                return await self._http.send(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise NotSent(action, detail=str(error) or type(error).__name__) from error
        except (httpx2.HTTPError, OSError) as error:  # includes TimeoutError, for the total
            raise NoAnswer(action, detail=type(error).__name__) from error


def _url_of(base_url: str, path: tuple[str, ...]) -> httpx2.URL:
    return httpx2.URL("/".join((base_url, "v2", "apps", *map(segment, path))))


def _to_json(body: Mapping[str, Any]) -> bytes:
    text = json.dumps(
        body,
        default=_to_dict,
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    )
    # Users can send lone surrogates, which UTF-8 can't encode: they become question marks.
    return text.encode("utf-8", "replace")


def _to_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _retry_pause(error: Exception) -> bool | timedelta:
    """Return whether to retry a failed read, or the pause; True means the usual backoff."""
    if not isinstance(error, (RateLimited, NotSent, Unclear)):
        return False
    if error.retry_after is None:
        return True
    return error.retry_after <= MAX_RETRY_PAUSE and error.retry_after
