"""A platform that answers every call after a fixed time, notes when each came, and thinks about nothing.

Raw asyncio, in the process of the benchmark: what is measured is the caller. (The sandbox is a model of the platform's
rules, and does far more for each call.)
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from .deliveries import BOT
from .load import response_end

SAY = "messages"
RELEASE = "releaseControl"

OnCall = Callable[[str, str], None]
"""Told of each call when its request has come: the conversation's id, and the action (empty: read it)."""


class Stub:
    """The platform.

    Args:
        latency: seconds from a request to its answer.

    Attributes:
        port: where it listens.
        on_call: is told of each call.
        calls: of each action, how many there were.
    """

    def __init__(self, latency: float = 0.0) -> None:
        self.latency = latency
        self.port = 0
        self.on_call: OnCall = _heard
        self.calls: dict[str, int] = {}
        self._released: set[str] = set()

    def answer(self, head: bytes) -> bytes:
        """Take note of a request, and say what it is answered."""
        method, path, _ = head.split(b" ", 2)
        parts = path.decode().partition("?")[0].split("/")
        if len(parts) < 6:
            return _NOT_FOUND  # what the bot asks about its account at the start
        conversation_id = parts[5]
        action = parts[6] if len(parts) > 6 else ""
        reads = method == b"GET"
        name = f"read {action}".strip() if reads else action
        self.calls[name] = self.calls.get(name, 0) + 1
        if not reads:
            self.on_call(conversation_id, action)
        if action == RELEASE:
            self._released.add(conversation_id)
        if action == SAY:
            return _PAGE if reads else _SAID
        if reads:
            return _response(200, {"conversation": self._conversation(conversation_id)})
        return _OK

    def _conversation(self, conversation_id: str) -> dict[str, object]:
        shown: dict[str, object] = {"id": conversation_id, "type": "personal"}
        if conversation_id not in self._released:
            shown["activeSwitchboardIntegration"] = BOT
        return shown


class _Connection(asyncio.Protocol):
    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        if (end := response_end(self._buffer)) is None:
            return
        answer = self._stub.answer(self._buffer)
        self._buffer = self._buffer[end:]
        if self._stub.latency:
            asyncio.get_running_loop().call_later(self._stub.latency, self._transport.write, answer)
        else:
            self._transport.write(answer)


@asynccontextmanager
async def platform(latency: float = 0.0) -> AsyncIterator[Stub]:
    """The stub, listening."""
    stub = Stub(latency)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(stub), "127.0.0.1", 0, backlog=1024)
    stub.port = server.sockets[0].getsockname()[1]
    try:
        yield stub
    finally:
        server.close()


def _heard(_: str, __: str) -> None:
    """Nobody wants to know."""


def now() -> float:
    """The clock of all measurements here, in seconds."""
    return time.perf_counter()


def _response(status: int, body: object) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


_OK = _response(200, {})
_NOT_FOUND = _response(404, {"errors": [{"code": "not_found", "title": "Not found"}]})
_PAGE = _response(200, {"messages": [], "meta": {"hasMore": False}})
_SAID = _response(201, {"messages": [{"id": "5fmessage"}]})
