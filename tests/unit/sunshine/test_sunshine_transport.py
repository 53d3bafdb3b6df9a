"""aiohttp's connections under the client, against real sockets: what arrives, and what a failure means."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from sunshine_samples import APP, CONVERSATION, KEY
from tiers import some

from bot.sunshine import (
    AiohttpTransport,
    Gone,
    NoAnswer,
    NotOurs,
    NotSent,
    RateLimited,
    ServerError,
    SunshineClient,
    Timeouts,
)
from bot.sunshine.transport import MAX_ANSWER

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def client_of(serve: Serve, *, connections: int = 100, **timeouts: float) -> AsyncIterator[SunshineClient]:
    """A client of a server on this machine."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options: dict[str, Any] = {"transport": AiohttpTransport(connections), "timeouts": Timeouts(**timeouts)}
    try:
        async with SunshineClient(f"http://127.0.0.1:{port}", APP, KEY, **options) as client:
            yield client
    finally:
        server.close()


async def request_from(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of a request."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length:")]
    return head, await reader.readexactly(sum(lengths))


async def test_a_request_arrives_as_it_was_made() -> None:
    """Path, key and body, and no header that httpx2 has not set."""
    got: list[tuple[bytes, bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await request_from(reader))
        writer.write(ACCEPTED)

    async with client_of(serve) as client:
        await client.pass_control("a/b ü", "zd-agentWorkspace")
    ((head, body),) = got
    lines = head.split(b"\r\n")
    assert lines[0] == f"POST /v2/apps/{APP}/conversations/a%2Fb%20%C3%BC/passControl HTTP/1.1".encode()
    names = [line.partition(b":")[0].lower() for line in lines[1:] if line]
    expected = ["accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "host"]
    assert sorted(names) == [name.encode() for name in [*expected, "user-agent"]]
    assert body == b'{"switchboardIntegration":"zd-agentWorkspace"}'


async def test_an_answer_is_decoded_once() -> None:
    """The platform may compress."""
    page = gzip.compress(b'{"messages": [{"id": "m1"}], "meta": {"hasMore": false}}')

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_from(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page))

    async with client_of(serve) as client:
        assert (await client.list_messages(CONVERSATION)).messages == ({"id": "m1"},)


async def test_a_connection_is_kept() -> None:
    """One handshake for many calls."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await request_from(reader)
            writer.write(ACCEPTED)

    async with client_of(serve) as client:
        for _ in range(3):
            await client.release_control(CONVERSATION)
    assert connections == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
@pytest.mark.parametrize("name", ["127.0.0.1", "evil.example"])
async def test_certificates_are_checked(tmp_path: Path, name: str) -> None:
    """A server whose certificate nobody vouches for gets neither key nor request."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    await make_certificate(key, certificate, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    came: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for transport in (AiohttpTransport(1), None):
            async with SunshineClient(url, APP, KEY, transport=transport) as client:
                with pytest.raises(NotSent):
                    await client.release_control(CONVERSATION)
    assert b"".join(came) == b""


async def make_certificate(key: Path, certificate: Path, name: str) -> None:
    """A certificate that nobody but its maker has signed."""
    subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:127.0.0.1,DNS:{name}")
    options = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject)
    made = await asyncio.create_subprocess_exec(
        "openssl", *options, "-keyout", str(key), "-out", str(certificate), stderr=asyncio.subprocess.DEVNULL
    )
    assert await made.wait() == 0


async def test_where_nobody_listens_nothing_is_sent() -> None:
    """Refused."""
    async with SunshineClient("http://127.0.0.1:1", APP, KEY, transport=AiohttpTransport()) as client:
        with pytest.raises(NotSent):
            await client.release_control(CONVERSATION)


async def test_where_the_name_is_unknown_nothing_is_sent() -> None:
    """No address, no connection."""
    async with SunshineClient("https://no-such-host.invalid", APP, KEY, transport=AiohttpTransport()) as client:
        with pytest.raises(NotSent):
            await client.release_control(CONVERSATION)


async def test_without_a_free_connection_nothing_is_sent() -> None:
    """The wait for one is bounded, and the call that waits is not told to be unclear."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_from(reader)
        await asyncio.sleep(1)
        writer.write(ACCEPTED)

    async with client_of(serve, connections=1, pool=0.1, connect=0.1) as client:
        first = asyncio.create_task(client.release_control(CONVERSATION))
        await asyncio.sleep(0.05)
        with pytest.raises(NotSent):
            await client.release_control(CONVERSATION)
        await first


async def test_no_answer_in_time_is_unclear() -> None:
    """It was sent, so it may have happened."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with client_of(serve, read=0.1) as client:
        with pytest.raises(NoAnswer):
            await client.release_control(CONVERSATION)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
)
async def test_an_answer_that_breaks_off_is_unclear(answer: bytes) -> None:
    """Wherever it does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_from(reader)
        writer.write(answer)

    async with client_of(serve) as client:
        with pytest.raises(NoAnswer):
            await client.release_control(CONVERSATION)


async def test_an_action_is_never_sent_twice() -> None:
    """Not even where a kept connection turns out to be closed: whether the first try got through, nobody knows."""
    requests = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await request_from(reader)
        requests += 1
        writer.write(ACCEPTED)
        await request_from(reader)
        requests += 1

    async with client_of(serve) as client:
        await client.release_control(CONVERSATION)
        with pytest.raises(NoAnswer):
            await client.release_control(CONVERSATION)
    assert requests == 2


async def test_what_is_not_http_is_unclear() -> None:
    """Who knows what that was."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_from(reader)
        writer.write(b"hello\r\n\r\n")

    async with client_of(serve) as client:
        with pytest.raises(NoAnswer):
            await client.release_control(CONVERSATION)


async def test_a_cancelled_call_leaves_no_connection_behind() -> None:
    """Its answer must not become the next call's."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await request_from(reader)
        if connections == 1:
            await reader.read()
        writer.write(ACCEPTED)

    async with client_of(serve) as client:
        call = asyncio.create_task(client.release_control(CONVERSATION))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await client.release_control(CONVERSATION)
    assert connections == 2


LARGE = 50_000_000


@lru_cache
def _large(encoding: str | None) -> bytes:
    plain = b" " * LARGE
    match encoding:
        case "gzip":
            return gzip.compress(plain, 1)
        case "deflate":
            return zlib.compress(plain, 1)
        case _:
            return plain


@pytest.mark.parametrize("encoding", some([None, "gzip", "deflate"]))
@pytest.mark.parametrize("status", some([200, 404, 429, 201, 403, 500, 302], count=3))
async def test_an_answer_has_a_bound(status: int, encoding: str | None) -> None:
    """A success that can't be read is unclear; an error means what its status says, whatever it brings along."""
    error = {403: NotOurs, 404: Gone, 429: RateLimited, 500: ServerError}.get(status, NoAnswer)
    head = f"HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n"
    head += f"Content-Encoding: {encoding}\r\n\r\n" if encoding else "\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_from(reader)
        writer.write(head.encode())
        for first in range(0, len(content), 65_536):
            piece = content[first : first + 65_536]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    content = _large(encoding)
    async with client_of(serve) as client:
        tracemalloc.start()
        with pytest.raises(error):
            await client.release_control(CONVERSATION)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 * MAX_ANSWER


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip"])
async def test_an_answer_that_cannot_be_inflated(encoding: str) -> None:
    """Unclear where it would have counted; an error needs no body."""
    statuses = iter((200, 403))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request_from(reader)
            head = f"HTTP/1.1 {next(statuses)} X\r\nContent-Encoding: {encoding}\r\nContent-Length: 4\r\n\r\njunk"
            writer.write(head.encode())

    async with client_of(serve) as client:
        with pytest.raises(NoAnswer):
            await client.release_control(CONVERSATION)
        with pytest.raises(NotOurs):
            await client.release_control(CONVERSATION)


async def test_inflating_does_not_stop_the_loop() -> None:
    """Others have their turn after each piece."""
    page = b'{"messages": [{"id": "%b"}]}' % (b"x" * 3_000_000)
    zipped = gzip.compress(page)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_from(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(zipped), zipped)
        )

    async with client_of(serve) as client:
        reading = asyncio.create_task(client.list_messages(CONVERSATION))
        turns = 0
        while not reading.done():
            await asyncio.sleep(0)
            turns += 1
        assert len((await reading).messages) == 1
        assert turns > 3_000_000 / 65_536


@pytest.mark.parametrize("where", ["status", "headers", "body"])
async def test_an_answer_that_drips_in_has_a_limit(where: str) -> None:
    """Each byte comes on time, all of them never."""
    told = {"headers": b"HTTP/1.1 200 OK\r\nA: ", "body": b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_from(reader)
        writer.write(told.get(where, b""))
        for _ in range(10_000):
            writer.write(b"H" if where == "status" else b"{")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with client_of(serve, total=0.3, read=60) as client:
        with pytest.raises(NoAnswer):
            await client.release_control(CONVERSATION)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """The key would go along, to wherever it leads."""
    requests = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while True:
            await request_from(reader)
            requests += 1
            writer.write(f"HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode())

    async with client_of(serve) as client:
        with pytest.raises(NoAnswer, match="redirects are not followed"):
            await client.release_control(CONVERSATION)
    assert requests == 1
