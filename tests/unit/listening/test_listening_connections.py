"""Nobody holds a connection for ever, and there is always room for the next one."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest
from aiohttp import web
from listening_samples import GET, LONG, listening

from bot.listening import Cut, Limits, Listener
from bot.listening.connection import Connection
from bot.listening.connections import Connections

POST = b"POST /read HTTP/1.1\r\nHost: bot\r\nContent-Length: 10\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "cut"),
    [
        (b"", Cut.HEAD),
        (b"GET / HT", Cut.HEAD),
        (GET[:-2], Cut.HEAD),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20, Cut.HEAD),
        (POST, Cut.BODY),
        (POST + b"half", Cut.BODY),
        (b"POST /inflates HTTP/1.1\r\nHost: bot\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello", Cut.BODY),
        (b"POST /read HTTP/1.1\r\nHost: bot\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", Cut.BODY),
        (GET, Cut.IDLE),
    ],
)
async def test_whoever_does_not_go_on_is_cut_off(sent: bytes, cut: Cut) -> None:
    """In each phase, by its own limit; the other limits are an hour."""
    limits = dict.fromkeys(("head", "body", "idle", "reader"), LONG)
    async with listening(**{**limits, cut.value: 0.1}) as place:
        await place.asked(sent)
        assert place.cuts == [cut]


async def test_a_head_that_drips_is_cut_off() -> None:
    """Each byte on time, the head as a whole not."""
    async with listening(idle=LONG, body=LONG) as place:
        reader, writer = await place.connect()
        closed = asyncio.create_task(reader.read())
        for byte in GET * 1000:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
            if closed.done():
                break
        assert place.cuts == [Cut.HEAD]


async def test_the_second_head_has_a_limit_of_its_own() -> None:
    """That a connection was used does not let it stay for half a request."""
    async with listening(idle=LONG) as place:
        reader, writer = await place.connect(GET)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
        writer.write(GET[:9])
        await reader.read()
        assert place.cuts == [Cut.HEAD]


async def test_a_connection_that_is_used_stays() -> None:
    """Request after request, each on time."""
    async with listening(head=LONG, idle=LONG, body=LONG) as place:
        reader, writer = await place.connect()
        for _ in range(20):
            writer.write(POST + b"0123456789")
            await reader.readuntil(b"read")
        assert place.cuts == []
        assert len(place.bodies) == 20


async def test_a_handler_may_take_its_time() -> None:
    """What is asked whole is answered, however long that takes."""
    async with listening() as place:
        reader, _ = await place.connect(b"GET /slow HTTP/1.1\r\nHost: bot\r\n\r\n")
        await place.began.wait()
        for _ in range(3):
            await place.asked(b"")  # each is cut off later than the limits of the slow one were over
        place.goes_on.set()
        assert b"slow" in await reader.readuntil(b"slow")


async def test_who_does_not_read_the_answer_is_cut_off() -> None:
    """An answer is held in memory only while it is fetched."""
    async with listening(head=LONG, idle=LONG) as place:
        with socket.socket() as deaf:
            deaf.setblocking(False)
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, ("127.0.0.1", place.listener.port))
            await loop.sock_sendall(deaf, b"GET /large HTTP/1.1\r\nHost: bot\r\nConnection: close\r\n\r\n")
            while not place.cuts:  # noqa: ASYNC110 - nobody tells a client that does not read
                await asyncio.sleep(0.01)
        assert place.cuts == [Cut.READER]


@pytest.mark.parametrize("path", ["refuse", "nowhere"])
async def test_what_nobody_reads_is_thrown_away(path: str) -> None:
    """The answer comes at once, what the sender still sends is not even parsed, and then the connection is closed."""
    async with listening(head=LONG, idle=LONG, body=LONG) as place:
        head = b"POST /%b HTTP/1.1\r\nHost: bot\r\nTransfer-Encoding: chunked\r\n\r\n" % path.encode()
        reader, writer = await place.connect(head)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b"Connection: close" in answer
        writer.write(b"this is no chunk\r\n")  # a parser would complain of it
        await reader.read()
        assert place.cuts in ([], [Cut.BODY])


async def test_there_is_room_for_the_next_one() -> None:
    """The one goes that has waited longest: those that never asked anything first, then those that did."""
    async with listening(head=LONG, idle=LONG, body=LONG, connections=3) as place:
        used, _ = await place.connect(GET)
        await used.readuntil(b"hello")
        silent = [await place.connect() for _ in range(2)]
        for reader, _ in silent:
            answered, _ = await place.connect(GET)
            assert b"hello" in await answered.readuntil(b"hello")
            assert await reader.read() == b""
        assert place.cuts == [Cut.FULL] * 2


async def test_half_a_body_makes_room_too() -> None:
    """A stranger with many of them can't keep others out."""
    async with listening(head=LONG, idle=LONG, body=LONG, connections=2) as place:
        half = [await place.connect(POST) for _ in range(2)]
        answered, _ = await place.connect(GET)
        assert b"hello" in await answered.readuntil(b"hello")
        assert await half[0][0].read() == b""


async def test_those_that_work_are_not_disturbed() -> None:
    """If all do, the new one has to come again."""
    async with listening(connections=1) as place:
        reader, _ = await place.connect(b"GET /slow HTTP/1.1\r\nHost: bot\r\n\r\n")
        await place.began.wait()
        assert await place.asked(GET) == b""
        place.goes_on.set()
        assert b"slow" in await reader.readuntil(b"slow")
        assert Cut.FULL in place.cuts


async def test_stopping_closes_all() -> None:
    """Silent ones included."""
    async with listening(head=LONG) as place:
        reader, _ = await place.connect()
        await place.listener.stop()
        assert await reader.read() == b""


async def test_stopping_does_not_wait_for_a_slow_reader() -> None:
    """Its connection is gone from the loop, too."""
    async with listening(reader=LONG) as place:
        reader, _ = await place.connect(GET.replace(b"/ ", b"/large ", 1))
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.wait_for(place.listener.stop(), 5)
        with suppress(ConnectionError):
            assert len(await reader.read()) < 50_000_000


async def test_nobody_is_let_in_while_it_stops() -> None:
    """A connection may have been accepted just before."""
    closed: list[Cut] = []
    connections = Connections(asyncio.Protocol, Limits(), closed.append)
    connections.close()
    loop, (ours, theirs) = asyncio.get_running_loop(), socket.socketpair()
    with theirs:
        transport, _ = await loop.create_connection(lambda: Connection(connections), sock=ours)
        assert transport.is_closing()
    assert closed == []


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    """And nothing is left behind."""
    async with listening() as place:
        second = Listener(web.Application(), "127.0.0.1", place.listener.port)
        with pytest.raises(OSError, match="in use"):
            await second.start()
