"""The handler, driven over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.http_exceptions import TransferEncodingError
from aiohttp.test_utils import TestClient, make_mocked_request
from pytest_aiohttp.plugin import AiohttpClient
from webhook_samples import delivery, message

from webhooks.inbox import NewEvent, NotStored
from webhooks.intake import Intake, Receipt, web_handler
from webhooks.security import Secrets

KEY = {"X-API-Key": "s3cret"}
LIMIT = 2_000

Client = TestClient[web.Request, web.Application]


class Edge:
    """An application with nothing but the handler, and what it did."""

    def __init__(self) -> None:
        self.stored: list[NewEvent] = []
        self.receipts: list[Receipt] = []
        self.finished = asyncio.Event()
        self.full = False

    async def add(self, events: Sequence[NewEvent]) -> None:
        """Keep the events, unless full."""
        if self.full:
            raise NotStored("full")
        self.stored.extend(events)

    def app(self) -> web.Application:
        """The application; its own limit is smaller than the handler's, and does not count."""
        handler = web_handler(Intake(self, Secrets(["s3cret"]), lambda: datetime.now(UTC), self.receipts.append), LIMIT)

        async def watched(request: web.Request) -> web.Response:
            try:
                return await handler(request)
            finally:
                self.finished.set()

        app = web.Application(client_max_size=10)
        app.router.add_post("/webhooks/sunshine", watched)
        return app


@pytest.fixture
async def edge() -> Edge:
    """What is behind the client."""
    return Edge()


@pytest.fixture
async def client(edge: Edge, aiohttp_client: AiohttpClient) -> Client:
    """Who delivers."""
    return await aiohttp_client(edge.app())


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 100):
        yield b"x" * 100


async def test_a_delivery_is_stored(client: Client, edge: Edge) -> None:
    """The header and the body reach the core, its answer reaches the sender."""
    async with client.post("/webhooks/sunshine", data=delivery(message()), headers=KEY) as response:
        assert (response.status, await response.text()) == (200, "stored")
    assert [event.id for event in edge.stored] == ["e1"]


async def test_a_full_inbox_says_when_to_come_again(client: Client, edge: Edge) -> None:
    """503 with Retry-After."""
    edge.full = True
    async with client.post("/webhooks/sunshine", data=delivery(message()), headers=KEY) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "5")


async def test_a_stranger_is_not_listened_to(client: Client) -> None:
    """Without the key, the answer comes before the body does: nobody else can make the bot hold anything."""
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    head = "POST /webhooks/sunshine HTTP/1.1", "Host: bot", "Content-Length: 1000", "", ""
    writer.write("\r\n".join(head).encode())
    assert b" 401 " in await reader.readline()
    writer.close()


async def test_more_than_there_is_room_for_may_come_again(edge: Edge) -> None:
    """Deliveries that are read or wait to be stored share a bound; what has its answer has left."""
    gate = asyncio.Event()

    class Slow(Edge):
        async def add(self, events: Sequence[NewEvent]) -> None:
            await gate.wait()

    class Body:
        async def iter_any(self) -> AsyncIterator[bytes]:
            yield delivery(message())

    intake = Intake(Slow(), Secrets(["s3cret"]), lambda: datetime.now(UTC), edge.receipts.append)
    handler = web_handler(intake, at_once=2 * len(delivery(message())))

    async def delivers() -> int:
        return (await handler(make_mocked_request("POST", "/", headers=KEY, payload=Body()))).status  # type: ignore[arg-type]

    waiting = [asyncio.create_task(delivers()) for _ in range(2)]
    await asyncio.sleep(0)
    assert await delivers() == 503
    gate.set()
    assert [await each for each in waiting] == [200, 200]
    assert await delivers() == 200
    assert [receipt.status for receipt in edge.receipts] == [503, 200, 200, 200]


@pytest.mark.parametrize("key", ["wrong", "schl\xfcssel"])
async def test_a_wrong_key_is_refused(client: Client, key: str) -> None:
    """401, whatever the characters of the key."""
    async with client.post("/webhooks/sunshine", data=b"{}", headers={"X-API-Key": key}) as response:
        assert (response.status, "X-API-Key" in await response.text()) == (401, True)


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 400), (LIMIT + 100, 413)])
@pytest.mark.parametrize("length_told", [True, False])
async def test_a_large_delivery_is_refused(
    client: Client, edge: Edge, size: int, status: int, length_told: bool
) -> None:
    """413 above the limit, also when the size is not told beforehand."""
    data = b"x" * size if length_told else _chunks(size)
    async with client.post("/webhooks/sunshine", data=data, headers=KEY) as response:
        assert response.status == status
    assert [receipt.status for receipt in edge.receipts] == [status]


async def test_a_delivery_that_says_it_is_too_large_is_not_waited_for(client: Client) -> None:
    """The answer comes before the body does."""
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    length = f"Content-Length: {LIMIT + 1}"
    head = "POST /webhooks/sunshine HTTP/1.1", "Host: bot", "X-API-Key: s3cret", length, "", ""
    writer.write("\r\n".join(head).encode())
    assert b" 413 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize(("cancelled", "statuses"), [(False, [503]), (True, [])])
async def test_a_sender_that_hangs_up_leaves_nothing_behind(
    client: Client, edge: Edge, cancelled: bool, statuses: list[int]
) -> None:
    """A delivery whose end never came is not stored, and no error of ours; whether the server cancels or not."""
    runner = client.server.runner
    assert runner is not None
    assert runner.server is not None
    runner.server.handler_cancellation = cancelled
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    lines = "X-API-Key: s3cret", "Expect: 100-continue", "Content-Length: 1000", "", ""
    writer.write("\r\n".join(("POST /webhooks/sunshine HTTP/1.1", "Host: bot", *lines)).encode())
    assert b"100 Continue" in await reader.readline()
    writer.write(b'{"half":')
    writer.close()
    await edge.finished.wait()
    assert [receipt.status for receipt in edge.receipts] == statuses
    assert edge.stored == []


async def test_a_body_that_is_broken_on_the_way_may_come_again(client: Client) -> None:
    """Not 400, which would be the last try: the next one may come through whole."""
    headers = {**KEY, "Content-Encoding": "gzip"}
    async with client.post("/webhooks/sunshine", data=b"not gzip", headers=headers) as response:
        assert response.status == 503


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), web.RequestPayloadError(), TransferEncodingError("bad chunk")]
)
async def test_whatever_breaks_a_body_is_no_error_of_ours(edge: Edge, error: Exception) -> None:
    """The errors that aiohttp's parsers (in C and in Python) and the transport raise while a body is read."""

    class Broken:
        async def iter_any(self) -> AsyncIterator[bytes]:
            yield b'{"half":'
            raise error

    intake = Intake(edge, Secrets(["s3cret"]), lambda: datetime.now(UTC))
    request = make_mocked_request("POST", "/", headers=KEY, payload=Broken())  # type: ignore[arg-type]
    assert (await web_handler(intake)(request)).status == 503
