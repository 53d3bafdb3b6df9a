"""The handler, driven over real HTTP."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.http_exceptions import TransferEncodingError
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from webhook_samples import Reports, delivery, message
from yarl import URL

from webhooks.inbox import NewEvent, NotStoredError
from webhooks.intake import Intake, Receipt
from webhooks.security import Secrets
from webhooks.web import web_handler, wrong_address_handler

KEY = {"X-API-Key": "s3cret"}
LIMIT = 2_000

Client = TestClient[web.Request, web.Application]


class Edge:
    """An application with nothing but the handler, and what it did."""

    def __init__(self) -> None:
        self.stored: list[NewEvent] = []
        self.receipts: list[Receipt] = []
        self.reports = Reports()
        self.finished = asyncio.Event()
        self.full = False

    async def add(self, events: Sequence[NewEvent]) -> None:
        """Keep the events, unless full."""
        if self.full:
            raise NotStoredError("full")
        self.stored.extend(events)

    def app(self) -> web.Application:
        """The application; its own limit is smaller than the handler's, and does not count."""
        now = lambda: datetime.now(UTC)  # noqa: E731
        intake = Intake(self, Secrets(["s3cret"]), now, self.receipts.append, report=self.reports)
        handler = web_handler(intake, LIMIT)

        async def watched(request: web.Request) -> web.Response:
            try:
                return await handler(request)
            finally:
                self.finished.set()

        app = web.Application(client_max_size=10)
        app.router.add_post("/webhooks/sunshine", watched)
        app.router.add_get("/healthz", watched)
        app.router.add_route("*", "/{path:.*}", wrong_address_handler(intake, "/webhooks/sunshine", watched))
        return app


@pytest.fixture
async def edge() -> Edge:
    """What is behind the client."""
    return Edge()


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[Client]:
    """Who delivers."""
    server = TestServer(edge.app())
    await server.start_server(auto_decompress=False)
    async with TestClient(server) as made:
        yield made


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
    handler = web_handler(intake, max_total=2 * len(delivery(message())))

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


def _zipped(plain: bytes) -> bytes:
    return gzip.compress(plain, mtime=0)


SMALL = delivery(message())


@pytest.mark.parametrize(
    ("encoding", "data", "status"),
    [
        ("identity", SMALL, 200),
        ("gzip", _zipped(SMALL), 200),
        ("x-gzip", _zipped(SMALL), 200),
        (" GZip ", _zipped(SMALL), 200),
        ("deflate", zlib.compress(SMALL), 200),
        ("deflate", zlib.compress(SMALL)[2:-4], 200),
        ("br", SMALL, 415),
        ("gzip, gzip", _zipped(_zipped(SMALL)), 415),
        ("gzip", b"not gzip", 503),
        ("gzip", b"", 503),
        ("gzip", _zipped(SMALL)[:-9], 503),
        ("gzip", _zipped(SMALL) * 2, 503),
        ("deflate", b"", 503),
        ("gzip", _zipped(b"x" * LIMIT), 400),
        ("gzip", _zipped(b"x" * (LIMIT + 1)), 413),
        ("gzip", b"x" * (LIMIT + 1), 413),
        ("gzip", _zipped(b"x" * 50_000_000), 413),
    ],
)
async def test_a_compressed_delivery_is_inflated_within_bounds(
    edge: Edge, encoding: str, data: bytes, status: int
) -> None:
    """What is damaged on its way may come again whole, so it gets no 400; what is too large is never inflated whole."""

    class Body:
        async def iter_any(self) -> AsyncIterator[bytes]:
            yield data

    intake = Intake(edge, Secrets(["s3cret"]), lambda: datetime.now(UTC), edge.receipts.append)
    headers = {**KEY, "Content-Encoding": encoding}
    request = make_mocked_request("POST", "/", headers=headers, payload=Body())  # type: ignore[arg-type]
    handler = web_handler(intake, 60_000 if len(data) > 10_000 else LIMIT)
    tracemalloc.start()
    answer = await handler(request)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (answer.status, [receipt.status for receipt in edge.receipts]) == (status, [status])
    assert len(edge.stored) == (status == 200)
    assert peak < 1_000_000


async def test_a_strangers_body_is_not_inflated(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is looked at first."""
    monkeypatch.setattr("webhooks.intake.inflate", None)
    headers = {"X-API-Key": "wrong", "Content-Encoding": "gzip"}
    async with client.post("/webhooks/sunshine", data=_zipped(SMALL), headers=headers) as response:
        assert response.status == 401


async def test_what_comes_out_of_a_body_counts_until_it_is_stored(edge: Edge) -> None:
    """Small compressed bodies can't hold more memory than large ones."""
    handler = web_handler(
        Intake(edge, Secrets(["s3cret"]), lambda: datetime.now(UTC)), max_bytes=100_000, max_total=100_000
    )
    large = _zipped(delivery(message(text="x" * 70_000)))
    headers = {**KEY, "Content-Encoding": "gzip"}

    class Body:
        async def iter_any(self) -> AsyncIterator[bytes]:
            yield large

    for _ in range(3):
        request = make_mocked_request("POST", "/", headers=headers, payload=Body())  # type: ignore[arg-type]
        assert (await handler(request)).status == 200


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


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/sunshine/",
        "/webhooks//sunshine",
        "//webhooks/sunshine",
        "/Webhooks/Sunshine",
        "/webhooks/sunshine///",
        "/webhooks/sunshine?from=platform",
        "/webhooks/%73unshine/",
    ],
)
async def test_an_address_that_is_nearly_right_is_taken(edge: Edge, client: Client, path: str) -> None:
    url = URL(f"http://127.0.0.1:{client.port}{path}", encoded=True)
    answer = await client.session.post(url, data=delivery(message()), headers=KEY)
    assert (answer.status, [event.id for event in edge.stored]) == (200, ["e1"])


async def test_a_nearly_right_address_is_for_those_with_a_key(edge: Edge, client: Client) -> None:
    answer = await client.post("/webhooks/sunshine/", data=delivery(message()), headers={"X-API-Key": "wrong"})
    assert (answer.status, edge.stored) == (401, [])


@pytest.mark.parametrize("path", ["/", "/webhooks", "/sunshine", "/webhooks/sunshine/x", "/healthz"])
async def test_what_comes_with_a_key_to_a_wrong_address_may_come_again(edge: Edge, client: Client, path: str) -> None:
    """The platform never repeats what was answered 404; and the address is told, once."""
    for _ in range(3):
        answer = await client.post(path, data=delivery(message()), headers=KEY)
        assert (answer.status, answer.headers["Retry-After"], edge.stored) == (503, "5", [])
    assert edge.reports.calls == [("delivery_misaddressed", "error", {"path": path, "times": 1})]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("PUT", "/", 404),
        ("GET", "/webhooks/sunshine", 405),
        ("DELETE", "/webhooks//sunshine/", 405),
    ],
)
async def test_other_methods(client: Client, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path, headers=KEY)
    assert (answer.status, answer.headers.get("Allow")) == (status, "POST" if status == 405 else None)


@pytest.mark.parametrize("path", ["/", "/webhooks", "/webhooks/sunshine/x", "/.env", "/%00"])
async def test_strangers_find_nothing(edge: Edge, client: Client, path: str) -> None:
    answer = await client.post(URL(path, encoded=True), data=b"{}")
    assert (answer.status, edge.receipts) == (404, [])
