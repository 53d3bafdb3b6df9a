"""The sandbox over real loopback HTTP: server, webhook sender, and both together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import jwt
import pytest
from aiohttp import web

from bot.sandbox import BOT, WORKSPACE, Fault, Moment, Sandbox, Switches


class Hook:
    """A bot's webhook on loopback that answers what it is told to."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.deliveries: list[tuple[str | None, dict[str, Any]]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        """Take a delivery."""
        self.deliveries.append((request.headers.get("X-API-Key"), await request.json()))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    """A webhook that listens."""
    hook = Hook()
    app = web.Application()
    app.router.add_post("/webhooks/sunshine", hook.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks/sunshine"
    yield hook
    await runner.cleanup()


@pytest.fixture
async def sandbox(hook: Hook) -> AsyncIterator[Sandbox]:
    """A sandbox in pass mode that sends to the hook, without waits between attempts."""
    switches = Switches(mode="pass")
    async with Sandbox(switches=switches, webhook_url=hook.url, secret="s3cret", time_scale=0) as sandbox:
        yield sandbox


@pytest.fixture
async def bot(sandbox: Sandbox) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with the integration's key, below the app."""
    settings = sandbox.settings_for_bot()
    auth = (settings["SUNSHINE_KEY_ID"], settings["SUNSHINE_KEY_SECRET"])
    base = f"{settings['SUNSHINE_BASE_URL']}/v2/apps/{settings['SUNSHINE_APP_ID']}"
    async with httpx2.AsyncClient(base_url=base, auth=auth, trust_env=False) as client:
        yield client


async def test_round_trip(sandbox: Sandbox, hook: Hook, bot: httpx2.AsyncClient) -> None:
    """A visitor's words reach the webhook, and the bot's answer reaches the visitor."""
    visitor = sandbox.visitor("Kim")
    await visitor.says("hello")
    await sandbox.sender.settled()

    key, delivery = hook.deliveries[-1]
    assert key == "s3cret"
    assert {event["type"] for _, d in hook.deliveries for event in d["events"]} == {
        "conversation:create",
        "conversation:message",
    }
    conversation_id = delivery["events"][0]["payload"]["conversation"]["id"]
    body = {"author": {"type": "business"}, "content": {"type": "text", "text": "hello Kim"}}
    response = await bot.post(f"/conversations/{conversation_id}/messages", json=body)

    assert response.status_code == 201
    assert (await visitor.waits_for("Kim")).id == response.json()["messages"][0]["id"]
    age = sandbox.clock.now() - parsedate_to_datetime(response.headers["Date"])
    assert abs(age.total_seconds()) < 5


async def test_release_guard(sandbox: Sandbox, bot: httpx2.AsyncClient) -> None:
    """Release with the integration's key is 403 while another one is active, and 200 for the one that is."""
    visitor = sandbox.visitor()
    await visitor.says("hello")
    path = f"/conversations/{visitor.conversation_id}"
    assert (await bot.post(f"{path}/passControl", json={"switchboardIntegration": WORKSPACE})).json() == {}

    refused = await bot.post(f"{path}/releaseControl")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "forbidden")

    await visitor.ends()
    shown = (await bot.get(path)).json()["conversation"]
    assert shown["activeSwitchboardIntegration"]["name"] == BOT
    assert (await bot.post(f"{path}/releaseControl")).status_code == 200
    await visitor.waits_until_closed()


@pytest.mark.parametrize(
    ("auth", "status"),
    [
        (lambda s: {"auth": (s.app_key.id, s.app_key.secret)}, 200),
        (lambda s: {"auth": (s.app_key.id, "wrong")}, 401),
        (lambda _: {}, 401),
        (lambda s: {"headers": {"Authorization": f"Bearer {token(s.app_key, 'app')}"}}, 200),
        (lambda s: {"headers": {"Authorization": f"Bearer {token(s.app_key, 'integration')}"}}, 401),
        (lambda s: {"headers": {"Authorization": f"Bearer {token(s.integration_key, 'integration')}"}}, 403),
    ],
)
@pytest.mark.parametrize("prefix", ["/sc", ""])
async def test_signatures(
    sandbox: Sandbox, auth: Callable[[Sandbox], dict[str, Any]], status: int, prefix: str
) -> None:
    """Basic authentication and JWT are checked over the wire, with and without `/sc`."""
    url = f"{sandbox.base_url.removesuffix('/sc')}{prefix}/v2/apps/{sandbox.app_id}"
    async with httpx2.AsyncClient(trust_env=False) as client:
        response = await client.get(url, **auth(sandbox))

    assert response.status_code == status


def token(key: Any, scope: str) -> str:
    """A JWT of a key."""
    return jwt.encode({"scope": scope}, key.secret, algorithm="HS256", headers={"kid": key.id})


async def test_webhook_retries(sandbox: Sandbox, hook: Hook) -> None:
    """A delivery that is answered 503 comes again with the same event id; 400 ends it."""
    hook.answers = [503, 500, 200, 400]
    visitor = sandbox.visitor()
    await visitor.opens()
    await sandbox.sender.settled()
    assert len({d["events"][0]["id"] for _, d in hook.deliveries}) == 1
    assert [attempt.status for attempt in sandbox.sender.attempts] == [503, 500, 200]

    await visitor.says("hello")
    await sandbox.sender.settled()

    assert [attempt.status for attempt in sandbox.sender.attempts][3:] == [400]


async def test_bot_that_is_down(sandbox: Sandbox, unused_tcp_port: int) -> None:
    """A webhook that nobody listens at is tried five times, and given up."""
    sandbox.connect(f"http://127.0.0.1:{unused_tcp_port}/")

    await sandbox.visitor().opens()
    await sandbox.sender.settled()

    assert [attempt.status for attempt in sandbox.sender.attempts] == [None] * 5


@pytest.mark.parametrize(
    ("fault", "moment", "error", "released"),
    [
        (Fault(reset=True), Moment.BEFORE, httpx2.TransportError, False),
        (Fault(reset=True), Moment.AFTER, httpx2.TransportError, True),
        (Fault(delay=30), Moment.AFTER, httpx2.ReadTimeout, True),
    ],
)
async def test_no_answer(
    sandbox: Sandbox,
    bot: httpx2.AsyncClient,
    fault: Fault,
    moment: Moment,
    error: type[Exception],
    released: bool,
) -> None:
    """A lost answer does not tell whether the request took effect."""
    conversation_id = await sandbox.visitor().opens()
    sandbox.server.faults = lambda request, when: (
        fault if request.operation == "ReleaseControl" and when is moment else None
    )

    with pytest.raises(error):
        await bot.post(f"/conversations/{conversation_id}/releaseControl", timeout=0.2)

    assert sandbox.switchboard.is_open(conversation_id) is not released


async def test_rate_limit(sandbox: Sandbox, bot: httpx2.AsyncClient) -> None:
    """A 429 carries Retry-After if the fault says so, and the request did not happen."""
    conversation_id = await sandbox.visitor().opens()
    sandbox.server.faults = lambda _request, when: Fault(status=429, retry_after="2") if when is Moment.BEFORE else None

    response = await bot.post(f"/conversations/{conversation_id}/releaseControl")

    assert (response.status_code, response.headers["Retry-After"]) == (429, "2")
    assert sandbox.switchboard.is_open(conversation_id)


async def test_too_large(sandbox: Sandbox, bot: httpx2.AsyncClient) -> None:
    """A request above 100 kB is 413, however large it is."""
    conversation_id = await sandbox.visitor().opens()
    for size in (100_001, 1_000_000):
        response = await bot.post(f"/conversations/{conversation_id}/messages", content=b"x" * size)
        assert response.status_code == 413


async def test_stop_leaves_nothing(hook: Hook) -> None:
    """After the end no task of the sandbox is left."""
    before = asyncio.all_tasks()
    async with Sandbox(webhook_url=hook.url) as sandbox:
        await sandbox.visitor().says("hello")

    await asyncio.sleep(0)
    assert {task.get_name() for task in asyncio.all_tasks() - before if "sandbox" in task.get_name()} == set()
