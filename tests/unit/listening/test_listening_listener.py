"""What a listener lets through, and what it does not."""

from __future__ import annotations

import asyncio
import gc
import gzip
import logging
import re
import resource
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from aiohttp import web
from listening_samples import GET, LONG, listening
from tiers import some

from bot.listening import Cut, Limits, limits, raise_descriptor_limit

PATIENT = {"head": LONG, "body": LONG, "idle": LONG, "reader": LONG, "linger": LONG}
BOMB = gzip.compress(b"x" * 5_000_000)


def _post(path: str, body: bytes, *headers: str) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: bot", f"Content-Length: {len(body)}", "Connection: close", *headers)
    return "\r\n".join((*lines, "", "")).encode() + body


def _open_descriptors() -> int:
    return len([*Path("/dev/fd").iterdir()])


@pytest.mark.parametrize("path", ["/", "/read", "/refuse", "/nowhere", "/inflates/", "//inflates"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, gzip", "x"])
async def test_a_compressed_body_is_refused(path: str, encoding: str) -> None:
    """Before the handler sees it, and without a look into it."""
    async with listening(**PATIENT) as place:
        answer = await place.asked(_post(path, BOMB, f"Content-Encoding: {encoding}"))
        assert answer.startswith(b"HTTP/1.1 415")
        assert place.bodies == []


@pytest.mark.parametrize("headers", [(), ("Content-Encoding: identity",)])
async def test_a_plain_body_is_not(headers: tuple[str, ...]) -> None:
    """As ever."""
    async with listening(**PATIENT) as place:
        assert (await place.asked(_post("/read", b"plain", *headers))).startswith(b"HTTP/1.1 200")
        assert place.bodies == [b"plain"]


async def test_a_handler_that_inflates_gets_the_body_as_it_came() -> None:
    """It knows when to inflate it."""
    async with listening(**PATIENT) as place:
        assert (await place.asked(_post("/inflates", BOMB, "Content-Encoding: gzip"))).startswith(b"HTTP/1.1 200")
        assert place.bodies == [BOMB]


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=a", "multipart/mixed", "MultiPart/x"])
async def test_a_body_of_parts_is_refused(kind: str) -> None:
    """aiohttp would inflate a part that says it is compressed."""
    async with listening(**PATIENT) as place:
        answer = await place.asked(_post("/read", b"--a--", f"Content-Type: {kind}"))
        assert answer.startswith(b"HTTP/1.1 415")


@pytest.mark.parametrize(("path", "status"), [("/read", 411), ("/", 411), ("/nowhere", 411), ("/inflates", 200)])
async def test_a_body_in_chunks_is_refused(path: str, status: int) -> None:
    """Strangers' chunks of a byte each would keep the parser busy; deliveries may come in chunks."""
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: bot",
        "Connection: close",
        "Transfer-Encoding: chunked",
        "",
        "1",
        "x",
        "0",
        "",
        "",
    )
    async with listening(**PATIENT) as place:
        answer = await place.asked("\r\n".join(lines).encode())
        assert answer.startswith(b"HTTP/1.1 %d" % status)


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 10_000]
)
async def test_what_is_no_http_is_not_logged(junk: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Else whoever can reach the port could fill the disk."""
    async with listening(head=LONG) as place:
        assert (await place.asked(junk)).startswith(b"HTTP/1.")
    assert caplog.records == []


async def test_a_bug_is_told_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    """The 1st, 2nd, 4th, 8th, … time."""
    async with listening(head=LONG) as place:
        for _ in range(9):
            answer = await place.asked(GET.replace(b"/ ", b"/broken ", 1))
            assert answer.startswith(b"HTTP/1.1 500")
            assert b"words" not in answer
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 4


async def test_pipelined_requests_are_answered_in_turn() -> None:
    """Who may send many at once gets them one by one, and another does not have to wait for all."""
    async with listening(head=LONG, idle=LONG) as place:
        greedy, _ = await place.connect(GET.replace(b"\r\n\r\n", b"\r\nX-Key: right\r\n\r\n") * 500)
        other, _ = await place.connect(GET)
        await other.readuntil(b"hello")
        for _ in range(500):
            await greedy.readuntil(b"hello")


@pytest.mark.parametrize("path", [b"/ ", b"/nowhere ", b"/refuse "])
async def test_a_stranger_does_not_pipeline(path: bytes) -> None:
    """At most two are answered, the connection is closed; else one segment costs as much as it holds requests."""
    async with listening(head=LONG, idle=LONG) as place:
        answer = await place.asked(GET.replace(b"/ ", path, 1) * 50)
        assert 1 <= answer.count(b"HTTP/1.1 ") <= 2
        assert answer.count(b"\r\nConnection: close\r\n") == 1
        assert place.cuts == []


async def test_a_request_before_the_answer_is_pipelined() -> None:
    """Also where it comes in a segment of its own."""
    async with listening(head=LONG, idle=LONG) as place:
        reader, writer = await place.connect(GET.replace(b"/ ", b"/slow ", 1))
        await place.began.wait()
        writer.write(GET)
        await asyncio.sleep(0.1)
        place.goes_on.set()
        assert (await reader.read()).count(b"HTTP/1.1 ") == 1


async def test_requests_one_after_the_other_keep_the_connection() -> None:
    """Whoever asks, whatever the answer."""
    async with listening(head=LONG, idle=LONG) as place:
        reader, writer = await place.connect()
        for path in [b"/ ", b"/nowhere ", b"/ "] * 6:
            writer.write(GET.replace(b"/ ", path, 1))
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"close" not in head
            await reader.readexactly(int(re.findall(rb"Content-Length: ([0-9]+)", head)[0]))


@pytest.mark.parametrize(("key", "fewest", "most"), [("right", 200, 10**9), ("wrong", 10, 40)])
async def test_a_hasty_stranger_is_slowed_down(key: str, fewest: int, most: int) -> None:
    """Ten at once, and then a hundred a second; who is trusted gets as many answers as they can ask for."""
    request, answers = GET.replace(b"\r\n\r\n", f"\r\nX-Key: {key}\r\n\r\n".encode()), 0
    async with listening(head=LONG, idle=LONG, burst=10, rate=100) as place:
        reader, writer = await place.connect()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.25):
                while True:
                    writer.write(request)
                    await reader.readuntil(b"hello")
                    answers += 1
        assert fewest <= answers <= most
        await place.leave()  # while it waits for its next turn
        assert b"hello" in await place.asked(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))


async def test_a_burst_of_connections_leaves_descriptors() -> None:
    """Out of them, asyncio would accept nobody for a second."""
    errors: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: errors.append(told))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with listening(head=LONG, idle=LONG, connections=16) as place:
        with ExitStack() as sockets:
            for _ in range(100):  # they wait in the backlog: the loop has no turn
                sockets.enter_context(socket.create_connection(("127.0.0.1", place.listener.port)))
            resource.setrlimit(resource.RLIMIT_NOFILE, (_open_descriptors() + 16 + 48, hard))
            try:
                assert b"hello" in await place.asked(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert place.cuts == [Cut.FULL] * len(place.cuts)
    assert errors == []


@pytest.mark.parametrize("path", some(["/nowhere", "/moved"]))
async def test_an_answer_that_was_raised_leaves_no_garbage(path: str) -> None:
    """Else strangers make so much of it that its collection holds up valid webhooks."""
    request = GET.replace(b"/ ", path.encode() + b" ", 1).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with listening() as place:
        await place.asked(request)
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await place.asked(request)
            kept = [each for each in gc.get_objects() if isinstance(each, web.Request)]
        finally:
            gc.enable()
    assert len(kept) <= 3


async def test_an_answer_that_was_raised_is_sent_whole() -> None:
    """Status, headers, cookies and text."""
    async with listening(head=LONG, idle=LONG) as place:
        answer = await place.asked(GET.replace(b"/ ", b"/moved ", 1))
    assert answer.startswith(b"HTTP/1.1 303 See Other\r\n")
    assert b"\r\nLocation: /elsewhere\r\n" in answer
    assert b"\r\nSet-Cookie: session=gone;" in answer
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\ngo there")


def test_the_descriptor_limit_is_raised() -> None:
    """As far as the system lets us, and the cap on connections stays below it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert raise_descriptor_limit() > 256
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("descriptors", "connections"), [(20, 16), (256, 64), (1024, 256), (65_536, 2_000)])
def test_a_listener_takes_a_share_of_the_descriptors(
    descriptors: int, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is for the database, the API and other listeners."""
    monkeypatch.setattr(limits, "raise_descriptor_limit", lambda: descriptors)
    assert Limits().connections == connections
