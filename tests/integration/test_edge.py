"""Everything that has once been tried on the webhook's door: keys, requests that are no HTTP, and odd bodies."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from aiohttp import web
from postgres_server import CHOSEN
from tiers import sqlite_first

from bot.listening import Limits, Listener
from bot.store import Database, migrate, open_store
from bot.store.export import Selection, stored_events
from bot.store.interface import StoredEvent
from webhooks.events import InvalidEventError, parse_event
from webhooks.inbox import GroupCommit
from webhooks.intake import Intake
from webhooks.security import Secrets
from webhooks.web import web_handler

SECRET, OLD = "the-secret-of-the-webhook", "the-secret-before-that"
PATH = "/webhooks/sunshine"


@dataclass
class Edge:
    """A listener with the webhook's handler, in front of a real database."""

    port: int
    store: Database
    url: str
    numbers: count[int]

    async def sends(self, data: bytes) -> bytes:
        """Send something on a connection of its own, and return what comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answer = b""
        with suppress(ConnectionError):
            writer.write(data)
            while piece := await reader.read(65_536):
                answer += piece
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        return answer

    async def posts(self, body: bytes, *headers: str) -> int:
        """Post a body, and return the status."""
        lines = f"POST {PATH} HTTP/1.1", "Host: bot", "Connection: close", f"Content-Length: {len(body)}", *headers
        answer = await self.sends("\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape") + body)
        return int(answer[9:12])

    async def takes_a_delivery(self) -> bool:
        """Does it still work?"""
        event = {"id": f"good-{next(self.numbers)}", "type": "x:y", "payload": {}}
        stored = await self.posts(enveloped(json.dumps(event).encode()), f"X-API-Key: {SECRET}") == 200
        return stored and event["id"] in {event.id for event in await self.stored()}

    async def stored(self) -> list[StoredEvent]:
        """All events of the database."""
        return await asyncio.to_thread(lambda: list(stored_events(self.url, Selection())))


def enveloped(*events: bytes) -> bytes:
    """The body of a delivery of these events."""
    return b'{"app": {"id": "app"}, "webhook": {"id": "w", "version": "v2"}, "events": [%b]}' % b", ".join(events)


@pytest.fixture
async def edge(engine: str, tmp_path: Path) -> AsyncIterator[Edge]:
    """On each engine."""
    url = CHOSEN.url or f"sqlite:///{tmp_path}/bot.db"
    await asyncio.to_thread(migrate, url)
    store = open_store(url)
    await store.start()
    inbox = GroupCommit(store.receive)
    app = web.Application()
    intake = Intake(inbox, Secrets([SECRET, OLD]), lambda: datetime.now(UTC), None, "app")
    app.router.add_post(PATH, web_handler(intake))
    limits = Limits(head=1, body=1, idle=1, linger=0.5, look=0.1)
    listener = Listener(app, "127.0.0.1", 0, inflates=lambda request: request.path == PATH, limits=limits)
    await listener.start()
    yield Edge(listener.port, store, url, count(1))
    await listener.stop()
    await inbox.stop()
    await store.stop()


KEYS: list[tuple[tuple[str, ...], int]] = [
    ((f"X-API-Key: {SECRET}",), 200),
    ((f"x-api-key: {SECRET}",), 200),
    ((f"X-API-KEY:{SECRET}",), 200),
    ((f"X-API-Key:   {SECRET}  ",), 200),
    ((f"X-API-Key: {OLD}",), 200),
    ((), 401),
    (("X-API-Key:",), 401),
    (("X-API-Key: ",), 401),
    ((f"X-API-Key: {SECRET[:-1]}",), 401),
    ((f"X-API-Key: {SECRET}x",), 401),
    ((f"X-API-Key: {SECRET.upper()}",), 401),
    ((f"X-API-Key: {SECRET},{OLD}",), 401),
    ((f"X-API-Key: Bearer {SECRET}",), 401),
    ((f'X-API-Key: "{SECRET}"',), 401),
    ((f"X-API-Key: {SECRET}%00",), 401),
    (("X-API-Key: " + "x" * 8_000,), 401),
    (("X-API-Key: schl\udcfcssel",), 401),
    ((f"Authorization: Bearer {SECRET}",), 401),
    ((f"X-API_Key: {SECRET}",), 401),
    ((f"Cookie: X-API-Key={SECRET}",), 401),
]


@sqlite_first
async def test_only_the_key_opens(edge: Edge) -> None:
    """In 20 forms."""
    assert len(KEYS) == 20
    got = [(headers, await edge.posts(enveloped(), *headers)) for headers, _ in KEYS]
    assert got == KEYS


H = b"Host: bot\r\n"
K = f"X-API-Key: {SECRET}\r\n".encode()
P = b"POST /webhooks/sunshine HTTP/1.1\r\n" + H + K
BODY = enveloped()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
REQUESTS = [
    b"\r\n\r\n",
    b"\0" * 100 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"HELLO\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/0.9\r\n\r\n",
    b"GET / HTTP/2.0\r\n" + H + b"\r\n",
    b"GET / HTTP/1.1.1\r\n" + H + b"\r\n",
    b"GET / http/1.1\r\n" + H + b"\r\n",
    b"GET / FTP/1.1\r\n" + H + b"\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"G\0T / HTTP/1.1\r\n" + H + b"\r\n",
    b"GET /\0 HTTP/1.1\r\n" + H + b"\r\n",
    b"GET  / HTTP/1.1\r\n" + H + b"\r\n",
    b"GET\t/\tHTTP/1.1\r\n" + H + b"\r\n",
    b" GET / HTTP/1.1\r\n" + H + b"\r\n",
    b"G(T / HTTP/1.1\r\n" + H + b"\r\n",
    b"GET / HTTP/1.1\r\n" + H + b" folded: header\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"A: b\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"no colon\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b": no name\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"space : before\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"nul: a\0b\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"cr: a\rb\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"n\xffme: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"long: " + b"x" * 9_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"n" * 9_000 + b": x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"a: b\r\n" * 200 + b"\r\n",
    b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n" + H + b"\r\n",
    b"GET http://[::1 HTTP/1.1\r\n" + H + b"\r\n",
    b"GET http://a:b@c:99999/ HTTP/1.1\r\n" + H + b"\r\n",
    b"GET //evil.example/ HTTP/1.1\r\n" + H + b"\r\n",
    b"GET /%zz HTTP/1.1\r\n" + H + b"\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\n" + H + b"\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\n" + H + b"\r\n",
    b"TRACE / HTTP/1.1\r\n" + H + b"\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"Host: other\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\njunk",
    b"GET / HTTP/1.1\r\n" + H + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"Expect: the-unexpected\r\n\r\n",
    P + b"Content-Length: -1\r\n\r\n",
    P + b"Content-Length: +1\r\n\r\n{",
    P + b"Content-Length: 1e3\r\n\r\n",
    P + b"Content-Length: 0x10\r\n\r\n",
    P + b"Content-Length: 99999999999999999999\r\n\r\n",
    P + b"Content-Length: 5, 5\r\n\r\n12345",
    P + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
    P + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    P + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    P + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    P + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    P + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    P + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    P + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    P + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
    P + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 9_000 + b"\r\nx\r\n0\r\n\r\n",
    P + b"Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer\0: x\r\n\r\n",
]


@sqlite_first
async def test_requests_that_are_no_http(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    """59 of them: a 4xx or no answer, nothing stored, nothing logged, and the next delivery is taken."""
    assert len(REQUESTS) == 59
    answers: list[tuple[bytes, bytes]] = []
    for start in range(0, len(REQUESTS), 10):  # ten at a time: some are answered only after a second
        some = REQUESTS[start : start + 10]
        answers += zip((request[:80] for request in some), await asyncio.gather(*map(edge.sends, some)), strict=True)
    assert [both for both in answers if both[1] and both[1][9:10] != b"4" and both[1][9:12] != b"503"] == []
    assert [both for both in answers if b"Traceback" in both[1]] == []
    assert await edge.stored() == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert await edge.takes_a_delivery()


def _message(**changes: object) -> bytes:
    conversation: object = {"id": "c1", "activeSwitchboardIntegration": {"id": "sw"}}
    payload = {"conversation": conversation, "message": {"id": "m1", "author": {"type": "user", "userId": "u1"}}}
    event: dict[str, object] = {"id": "odd", "type": "conversation:message", "payload": payload}
    return json.dumps({**event, **changes}).encode()


ODD = [b"null", b"true", b"-0", b"1e400", b"-1e-400", b"9" * 4_000, b"9" * 9_000, b"0.1e-9", b"NaN", b"Infinity"]
ODD += [
    b'""',
    b'"\\u0000"',
    b'"\\ud83d"',
    b'"\\ud83d\\ude00"',
    b'"\xff\xfe"',
    b'"\\u202e\\u2066"',
    b'"' + b"x" * 300 + b'"',
]
ODD += [b"[]", b"{}", b"[" * 90 + b"]" * 90, b"[" * 400 + b"]" * 400, b'{"a":' * 300 + b"1" + b"}" * 300]
ODD += [b'{"": 1}', b'{"a": 1, "a": 2}', b'{"__proto__": {}}', b'{"$where": "1"}', b'"\'; DROP TABLE inbox; --"']
PLACES = ("whole", "payload", "id")
BODIES = [(odd, place) for odd in ODD for place in PLACES][:80]


async def test_odd_bodies(edge: Edge) -> None:
    """80 of them: stored, each beside one that is as it should be, and none costs the other."""
    assert len(BODIES) == 80
    for number, (odd, place) in enumerate(BODIES):
        event = odd if place == "whole" else _message(**{place: "HERE"}).replace(b'"HERE"', odd)
        event = event.replace(b'"odd"', b'"odd-%d"' % number)
        beside = json.dumps({"id": f"beside-{number}", "type": "x:y", "payload": {}}).encode()
        assert await edge.posts(enveloped(event, beside), f"X-API-Key: {SECRET}") == 200, (odd[:40], place)
    stored = {event.id: event for event in await edge.stored()}
    assert {f"beside-{number}" for number in range(80)} <= stored.keys()
    for kept in stored.values():
        with suppress(InvalidEventError):
            parse_event(kept.body)
    assert await edge.takes_a_delivery()
