"""The load generator: keep-alive connections, each of which sends a request as soon as the last one was answered.

Raw asyncio protocols, no HTTP library: per request one write, one read and a search for the length of the answer. It
runs in the process of the benchmark, apart from what is measured; `busy` says how much of a core it used, so that it
shows when the generator and not the contestant was the limit.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .figures import Sample, quantile

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_PATIENCE = 20.0  # seconds for the last answers


class BenchError(Exception):
    """What was measured did not do its work; there is no figure then."""


@dataclass
class _Tally:
    next_request: Callable[[], bytes | None]
    seconds: list[float] = field(default_factory=list)
    other: int = 0
    open: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)


class _Connection(asyncio.Protocol):
    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._tally.open += 1
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        request = self._tally.next_request()
        if request is None:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if (end := response_end(self._buffer)) is None:
            return
        self._tally.seconds.append(time.perf_counter() - self._sent_at)
        if self._buffer[9:12] != b"200":
            self._tally.other += 1
        self._buffer = self._buffer[end:]
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.open -= 1
        if self._tally.open == 0:
            self._tally.over.set()


def response_end(buffer: bytes) -> int | None:
    """Where the first message in the buffer ends; None if it has not come whole."""
    head = buffer.find(b"\r\n\r\n")
    if head < 0:
        return None
    found = _LENGTH.search(buffer, 0, head)
    end = head + 4 + (int(found[1]) if found else 0)
    return end if len(buffer) >= end else None


def request_bytes(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A POST as it goes over the wire."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Sender:
    """Sends requests, each at once, over as many kept connections as are needed; any answer but 200 is remembered.

    Args:
        port: where to.
        on_answer: called with each answer.

    Attributes:
        refused: how many answers were not 200.
    """

    def __init__(self, port: int, on_answer: Callable[[], None] | None = None) -> None:
        self._port = port
        self._on_answer = on_answer
        self._free: list[_Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.refused = 0

    def send(self, request: bytes) -> None:
        """Send it; the answer is read, and not waited for."""
        if self._free:
            self._free.pop().write(request)
            return
        task = asyncio.get_running_loop().create_task(self._connect(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Waiting(self), "127.0.0.1", self._port)
        connection.write(request)

    def answered(self, connection: _Waiting, status: bytes) -> None:
        """A connection is free again."""
        self.refused += status != b"200"
        self._free.append(connection)
        if self._on_answer:
            self._on_answer()

    def close(self) -> None:
        """Close what is free."""
        while self._free:
            self._free.pop().close()


class _Waiting(asyncio.Protocol):
    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def write(self, request: bytes) -> None:
        assert self._transport is not None
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if (end := response_end(self._buffer)) is not None:
            status, self._buffer = self._buffer[9:12], self._buffer[end:]
            self._sender.answered(self, status)


async def flood(port: int, next_request: Callable[[], bytes], *, connections: int, seconds: float) -> Sample:
    """Send as fast as it is answered, for some seconds.

    Returns:
        `rate` (answers a second), `p50` and `p99` (milliseconds), `busy` (the generator's share of a core).
    """
    until = time.perf_counter() + seconds
    return await _drive(port, lambda: next_request() if time.perf_counter() < until else None, connections)


async def send_all(port: int, requests: list[bytes], *, connections: int) -> Sample:
    """Send these requests, each once. As `flood`."""
    waiting = iter(requests)
    return await _drive(port, lambda: next(waiting, None), connections)


async def _drive(port: int, next_request: Callable[[], bytes | None], connections: int) -> Sample:
    loop = asyncio.get_running_loop()
    tally = _Tally(next_request)
    began, used = time.perf_counter(), time.process_time()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(tally), "127.0.0.1", port)
    # Counted until the last answer, so that no request is left out.
    try:
        async with asyncio.timeout(600):
            await tally.over.wait()
    except TimeoutError:
        raise BenchError("the load never came to its end") from None
    took, used = time.perf_counter() - began, time.process_time() - used
    if tally.other or not tally.seconds:
        raise BenchError(f"{tally.other} of {len(tally.seconds)} answers were not 200")
    ordered = sorted(tally.seconds)
    return {
        "rate": len(ordered) / took,
        "p50": 1000 * quantile(ordered, 0.5),
        "p99": 1000 * quantile(ordered, 0.99),
        "busy": used / took,
    }
