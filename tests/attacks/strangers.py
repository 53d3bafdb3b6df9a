"""Bad company for a soak: strangers, junk, connections that are held, and clients that do not read. At a low rate."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TypeAlias

from .target import PATH, Target, delivery, request

_BOMB = gzip.compress(b"\0" * 50_000_000, 9)
Act: TypeAlias = Callable[[], Awaitable[None]]
_GZIP = "Content-Encoding: gzip\r\n"


class Company:
    """All of them.

    Args:
        target: the bot.
        secret: its webhook's, for junk with the right key.
        rng: chooses.

    Attributes:
        answers: how often each status was answered; "nothing" for none.
    """

    def __init__(self, target: Target, secret: str, rng: random.Random) -> None:
        self._target = target
        self._key = f"X-API-Key: {secret}\r\n"
        self._rng = rng
        self._numbers = count(1)
        self.answers: dict[str, int] = {}

    async def keeps_coming(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again(self._strangers, 1.0))
            group.create_task(self._again(self._junk, 2.0))
            group.create_task(self._again(self._odd_requests, 1.0))
            group.create_task(self._again(self._slow_reader, 15.0))
            for first in (b"", b"GET /healthz HTTP/1.1\r\nHo", self._half_a_body()):
                for _ in range(5):
                    group.create_task(self._again(partial(self._holds, first), 1.0))

    async def _again(self, act: Act, every: float) -> None:
        while True:
            with suppress(OSError, TimeoutError):
                await act()
            await asyncio.sleep(self._rng.uniform(every / 2, every * 1.5))

    async def _asks(self, what: bytes) -> None:
        answer = await self._target.sends(what, within=10)
        status = answer[9:12].decode("latin-1") or "nothing"
        self.answers[status] = self.answers.get(status, 0) + 1

    async def _strangers(self) -> None:
        path = self._rng.choice((PATH, "/console/sign-in", "/nowhere", "/metrics", "/healthz"))
        body, headers = self._rng.choice(((_BOMB, _GZIP), (b"x" * 500_000, ""), (b"{}", "X-API-Key: wrong\r\n")))
        await self._asks(request("POST", path, body, headers))

    async def _junk(self) -> None:
        """With the key: answered 200 and set aside, or refused."""
        number = next(self._numbers)
        odd = {"id": f"junk-{number}", "type": "conversation:message", "payload": {"conversation": {"id": ".."}}}
        bodies = (
            (delivery(odd), ""),
            (delivery({**odd, "payload": "HERE"}).replace(b'"HERE"', b"[" * 500 + b"]" * 500), ""),
            (delivery({**odd, "payload": "HERE"}).replace(b'"HERE"', b"9" * 9_000), ""),
            (b"no json", ""),
            (delivery(*range(3_000)), ""),
            (_BOMB, _GZIP),
            (gzip.compress(delivery(odd)), _GZIP),
        )
        body, headers = self._rng.choice(bodies)
        await self._asks(request("POST", PATH, body, self._key + headers))

    async def _odd_requests(self) -> None:
        odd = (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            request("GET", "/readyz") * 50,
        )
        await self._asks(self._rng.choice(odd))

    async def _holds(self, first: bytes) -> None:
        async with asyncio.timeout(self._rng.uniform(5, 60)):
            reader, writer = await self._target.connect()
            try:
                writer.write(first)
                while await reader.read(4096):
                    pass
            finally:
                writer.transport.abort()

    async def _slow_reader(self) -> None:
        async with asyncio.timeout(10):
            _, writer = await self._target.connect()
            try:
                writer.write(request("GET", "/nowhere") * 2_000)
                await asyncio.sleep(10)
            finally:
                writer.transport.abort()

    def _half_a_body(self) -> bytes:
        return f"POST {PATH} HTTP/1.1\r\nHost: bot\r\n{self._key}Content-Length: 99\r\n\r\n{{".encode()
