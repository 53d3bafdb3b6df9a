"""The attacks. Each takes a target, does its worst for a bounded time, and returns what it has seen."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from .target import KEY, PATH, Target, delivery, request

Attack = Callable[[Target], Awaitable[str]]

CHUNKED = "Transfer-Encoding: chunked\r\n"


@dataclass(frozen=True, slots=True)
class Plan:
    """An attack and what it needs.

    Attributes:
        run: does it.
        descriptors: the target's limit of open files.
        api: what an API answers that the target talks to; None: there is none.
        settings: of the target.
    """

    run: Attack
    descriptors: int | None = None
    api: bytes | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


async def calm(target: Target) -> str:
    """Nothing at all, to compare with."""
    await asyncio.sleep(5)
    return ""


async def strangers_bombs(target: Target) -> str:
    """30 compressed bodies without a key, 15.7 MB that inflate to 15 GB, to paths of all sorts."""
    bomb = gzip.compress(b"\0" * 500_000_000, 1)[:523_000]
    paths = (PATH, "/nowhere", "/console/sign-in", "/metrics", "/healthz")
    requests = [
        request("POST", paths[n % len(paths)], bomb, f"Content-Encoding: {('gzip', 'deflate')[n % 2]}\r\n")
        for n in range(30)
    ]
    answers = await asyncio.gather(*(target.sends(each, within=30) for each in requests))
    return f"answered {_statuses(answers)}"


async def strangers_chunks(target: Target) -> str:
    """30 strangers send bodies in the smallest chunks that there are, for 5 s."""
    chunks = b"1\r\nx\r\n" * 40_000
    head = f"POST {PATH} HTTP/1.1\r\nHost: bot\r\n{CHUNKED}\r\n".encode()
    await asyncio.gather(*(_pump(target, head, chunks, 5) for _ in range(30)))
    return ""


async def pipeline(target: Target) -> str:
    """10 connections send requests without end, and read no answer, for 5 s."""
    await asyncio.gather(*(_pump(target, b"", request("GET", "/nowhere") * 1000, 5) for _ in range(10)))
    return ""


async def flood(target: Target) -> str:
    """10 connections send one request after the other, as fast as they are answered, for 5 s."""
    return f"{sum(await asyncio.gather(*(_ask_again(target, 5) for _ in range(10))))} answers"


async def malformed(target: Target) -> str:
    """5,000 requests that are no HTTP."""
    for _ in range(100):
        await asyncio.gather(*(target.sends(b"\x16\x03\x01 no HTTP\r\n\r\n", within=5) for _ in range(50)))
    return ""


async def silent(target: Target) -> str:
    """300 silent connections at 256 descriptors, for 30 s."""
    return await _held(target, b"", 300, 30)


async def held_for_ever(target: Target) -> str:
    """100 connections each: silent, half a head, half a body, kept alive; until all are closed, at most 150 s."""
    kinds = {
        "silent": b"",
        "half a head": b"GET / HTTP/1.1\r\nHost:",
        "half a body": f"POST {PATH} HTTP/1.1\r\nHost: bot\r\n{KEY}Content-Length: 9\r\n\r\n{{".encode(),
        "kept alive": request("GET", "/healthz"),
    }
    told = await asyncio.gather(*(_held(target, first, 100, 150, kind) for kind, first in kinds.items()))
    return "; ".join(told)


async def odd_deliveries(target: Target) -> str:
    """With the key: nested too deep, a number without end, 150,000 integers, a large one; five times each."""
    envelope = delivery("HERE", {"id": "beside", "type": "x:y", "payload": {}})
    deep, digits = b"[" * 100_000 + b"]" * 100_000, b"9" * 900_000
    bodies = {
        "deep": envelope.replace(b'"HERE"', deep),
        "digits": envelope.replace(b'"HERE"', digits),
        "brackets": envelope.replace(b'"HERE"', b"[" + b"[]," * 250_000 + deep + b"]"),
        "integers": delivery(*range(150_000)),
        "full": delivery(*({"id": f"f{n}", "type": "x:y", "payload": {"text": "x" * 900}} for n in range(1_000))),
        "dots": delivery({"id": "dots", "type": "conversation:message", "payload": {"conversation": {"id": ".."}}}),
        "bomb": zlib.compress(b" " * 100_000_000, 9),
    }
    told = []
    for name, body in bodies.items():
        headers = KEY + ("Content-Encoding: deflate\r\n" if name == "bomb" else "")
        answers = [await target.sends(request("POST", PATH, body, headers), within=30) for _ in range(5)]
        told.append(f"{name} {_statuses(answers)}")
    return ", ".join(told)


async def api_answers(target: Target) -> str:
    """The API answers a release with too much: the bot is asked for one."""
    conversation = {"id": "c1", "activeSwitchboardIntegration": {"id": "bot", "name": "bot"}}
    author = {"type": "user", "userId": "u1"}
    content = {"type": "text", "text": "hello"}
    payload = {"conversation": conversation, "message": {"id": "m1", "author": author, "content": content}}
    event = {"id": "e1", "type": "conversation:message", "payload": payload}
    await target.sends(request("POST", PATH, delivery(event), KEY))
    await asyncio.sleep(20)
    return ""


def _large_answer(*, compressed: bool) -> bytes:
    body = gzip.compress(b" " * 500_000_000, 1)[:500_000] if compressed else b" " * 200_000_000
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nContent-Type: application/json\r\n"
    head += "Content-Encoding: gzip\r\n\r\n" if compressed else "\r\n"
    return head.encode() + body


_RELEASES = {"OPENING_FLOW": "", "CLOSING_FLOW": "", "RELEASE_GRACE": "1s", "FLOW_IDLE_TIMEOUT": "1s"}

ATTACKS: Mapping[str, Callable[[], Plan]] = {
    "calm": lambda: Plan(calm),
    "strangers_bombs": lambda: Plan(strangers_bombs),
    "strangers_chunks": lambda: Plan(strangers_chunks),
    "pipeline": lambda: Plan(pipeline),
    "flood": lambda: Plan(flood),
    "malformed": lambda: Plan(malformed),
    "silent": lambda: Plan(silent, descriptors=256),
    "held_for_ever": lambda: Plan(held_for_ever),
    "odd_deliveries": lambda: Plan(odd_deliveries),
    "api_large": lambda: Plan(api_answers, api=_large_answer(compressed=False), settings=_RELEASES),
    "api_gzip": lambda: Plan(api_answers, api=_large_answer(compressed=True), settings=_RELEASES),
}


@asynccontextmanager
async def api(answer: bytes) -> AsyncIterator[str]:
    """An API that always answers the same; yields its base URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in head.lower().splitlines() if line.startswith(b"content-length:")]
            await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
            view = memoryview(answer)
            for first in range(0, len(view), 65_536):
                writer.write(view[first : first + 65_536])
                await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def _held(target: Target, first: bytes, number: int, seconds: float, kind: str = "silent") -> str:
    """Hold connections, and tell how many are left, and when the last was closed."""
    writers, gone = [], 0
    began = last = time.monotonic()

    async def watch(reader: asyncio.StreamReader) -> None:
        nonlocal gone, last
        with suppress(OSError):
            while await reader.read(65_536):
                pass
        gone, last = gone + 1, time.monotonic()

    watchers = []
    for _ in range(number):
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                reader, writer = await target.connect()
            writer.write(first)
            writers.append(writer)
            watchers.append(asyncio.create_task(watch(reader)))
    await asyncio.wait(watchers, timeout=seconds)
    for task, writer in zip(watchers, writers, strict=True):
        task.cancel()
        writer.transport.abort()
    return f"{kind}: {number - gone} of {number} open after {seconds:g} s, the last closed at {last - began:.0f} s"


async def _pump(target: Target, first: bytes, again: bytes, seconds: float) -> None:
    """Send without end, on one connection after the other."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(end - time.monotonic()):
                _, writer = await target.connect()
                try:
                    writer.write(first)
                    while not writer.transport.is_closing():
                        writer.write(again)
                        await writer.drain()
                        await asyncio.sleep(0)
                finally:
                    writer.transport.abort()


async def _ask_again(target: Target, seconds: float) -> int:
    """Ask for what is not there, on one connection as long as it is kept; how often that was answered."""
    end, answers = time.monotonic() + seconds, 0
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(seconds):
            while time.monotonic() < end:
                reader, writer = await target.connect()
                try:
                    while not reader.at_eof():
                        writer.write(request("GET", "/nowhere"))
                        if await reader.read(4096):
                            answers += 1
                finally:
                    writer.transport.abort()
    return answers


def _statuses(answers: list[bytes]) -> str:
    found = [answer[9:12].decode() or "nothing" for answer in answers]
    return json.dumps({status: found.count(status) for status in sorted(set(found))}).replace('"', "")
