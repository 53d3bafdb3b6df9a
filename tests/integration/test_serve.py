"""`serve`, `web` and `worker` as real processes over loopback, with the sandbox in the test's own process."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from bot_program import Program, free_port, launched
from postgres_server import CHOSEN
from prometheus_client.parser import text_string_to_metric_families
from tiers import combined, postgres_first, some

from bot.engine.delivery import EFFECT_KEY
from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.history import Kind
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.switchboard import BOT
from bot.sandbox.switches import Switches
from bot.sandbox.users import Visitor
from bot.store import open_store

TEAM_FLOWS = """
import asyncio, time
from bot import flow

async def never():
    await asyncio.Event().wait()

@flow("slow")
async def slow(chat):
    await chat.say("Let me see.")
    await chat.call(never)

@flow("blocks")
async def blocks(chat):
    await chat.say("Let me see.")
    await chat.call(time.sleep, 600)

@flow("swallows")
async def swallows(chat):
    await chat.say("Let me see.")
    while True:
        try:
            await chat.call(never)
        except BaseException:
            pass

@flow("quick")
async def quick(chat):
    await chat.say("First.")
    await chat.say("Second.")
"""

Start = Callable[..., Any]


@pytest.fixture(params=["release"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """The platform, with quick retries of webhooks."""
    async with Sandbox(switches=Switches(mode=request.param), time_scale=0.02) as made:
        yield made


@pytest.fixture
async def start(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a command of the bot on this test's database, and ends what is left of it."""
    (tmp_path / "team_flows.py").write_text(TEAM_FLOWS)
    programs: list[Program] = []

    async def started(command: str = "serve", *, ready: bool = True, **changes: str) -> Program:
        settings = {**sandbox.settings_for_bot(), "OPENING_FLOW": "triage", "RELEASE_GRACE": "1s", **changes}
        program = await launched(command, tmp_path, settings)
        programs.append(program)
        if ready and command != "worker":
            await program.until_ready()
            sandbox.connect(f"{program.url}/webhooks/sunshine")
        return program

    yield started
    for program in programs:
        await program.swept()


async def proof_of(tmp_path: Path, conversation_id: str) -> str | None:
    """How the bot's database says that a conversation is closed."""
    store = open_store(CHOSEN.url or f"sqlite:///{tmp_path}/bot.db")
    await store.start()
    state = await store.find(conversation_id)
    await store.stop()
    return state.ended.proof.how if state and state.ended and state.ended.proof else None


async def proven(tmp_path: Path, visitor: Visitor, within: float = 60.0) -> str:
    """Wait for the proof."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if proof := await proof_of(tmp_path, visitor.conversation_id):
            return proof
        await asyncio.sleep(0.05)
    pytest.fail("there is no proof")


def said_once(visitor: Visitor) -> list[str]:
    """What the bot said, none of it twice."""
    texts = [message.text for message in visitor.messages if EFFECT_KEY in (message.metadata or {})]
    assert len(texts) == len(set(texts))
    return texts


async def test_http_answers_as_designed(sandbox: Sandbox, start: Start) -> None:
    """200, 401, 400 and 413; health, readiness and metrics with the documented names; SIGTERM ends it with 0."""
    program = await start(METRICS_TOKEN="a token of the metrics", RETENTION_DAY="30")
    envelope = {"app": {"id": sandbox.app_id}, "webhook": {"id": "w", "version": "v2"}, "events": []}
    key = {"X-API-Key": sandbox.secret}
    async with aiohttp.ClientSession() as http:
        cases: list[tuple[Any, dict[str, str], int]] = [
            (json.dumps(envelope), key, 200),
            (json.dumps(envelope | {"events": [{"id": "e", "type": "x:y", "payload": {}}]}), key, 200),
            (json.dumps(envelope | {"events": [{"id": "e", "type": "x:y", "payload": {}}]}), key, 200),
            (json.dumps(envelope), {}, 401),
            (json.dumps(envelope), {"X-API-Key": "wrong"}, 401),
            (json.dumps(envelope | {"app": {"id": "another"}}), key, 403),
            ("no json", key, 400),
            (json.dumps(envelope | {"webhook": {"version": "v1"}}), key, 400),
            ("x" * (1024 * 1024 + 1), key, 413),
        ]
        for body, headers, status in cases:
            async with http.post(
                f"{program.url}/webhooks/sunshine", data=io.BytesIO(body.encode()), headers=headers
            ) as answer:
                assert answer.status == status, body[:60]
        async with http.post(f"{program.url}/elsewhere", data=json.dumps(envelope), headers=key) as answer:
            assert answer.status == 503
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/nope", 404), ("/webhooks/sunshine", 405)):
            async with http.get(f"{program.url}{path}") as answer:
                assert answer.status == status
        for token, status in (("", 401), ("another token", 401), ("a token of the metrics", 200)):
            async with http.get(f"{program.url}/metrics", headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status == status
        async with http.get(
            f"{program.url}/metrics", headers={"Authorization": "Bearer a token of the metrics"}
        ) as answer:
            page = await answer.text()
    all_samples = [s for family in text_string_to_metric_families(page) for s in family.samples]
    samples = {s.name: s for s in all_samples}
    assert {
        "switchboard_webhook_deliveries_total",
        "switchboard_events_received_total",
        "switchboard_webhook_seconds_count",
        "switchboard_signals_total",
        "switchboard_conversations_held",
        "switchboard_conversations_ended_open",
        "switchboard_duties_owed",
        "switchboard_duties_overdue",
        "switchboard_duties_oldest_seconds",
        "switchboard_events_set_aside",
        "switchboard_inbox_events",
        "switchboard_outbox_effects",
    } <= samples.keys()
    assert samples["switchboard_events_received_total"].value == 2
    told = {s.labels["event"]: s.value for s in all_samples if s.name == "switchboard_signals_total"}
    assert {name: told[name] for name in ("setting_unknown", "delivery_misaddressed", "started")} == {
        "setting_unknown": 1,
        "delivery_misaddressed": 1,
        "started": 1,
    }
    assert await program.told_to_stop() == 0
    assert [json.loads(line)["event"] for line in program.errors.decode().splitlines()] == [
        "setting_unknown",
        "started",
        "foreign_delivery",
        "delivery_misaddressed",
        "stopping",
    ]


@pytest.mark.parametrize(
    ("header", "status", "answers"),
    [
        ("X-API-Key: {secret}", 200, 20),
        ("Authorization: Bearer token-of-the-api", 401, 20),
        ("X-API-Key: wrong\r\nAuthorization: Bearer wrong", 401, 2),
    ],
)
async def test_only_those_with_a_key_may_pipeline(
    sandbox: Sandbox, start: Start, header: str, status: int, answers: int
) -> None:
    """The webhook's or that of the API: the connection stays. The second request of a stranger ends it."""
    program = await start(API_TOKEN="token-of-the-api")
    body = b'{"webhook": {"id": "w", "version": "v2"}, "events": []}'
    head = f"POST /webhooks/sunshine HTTP/1.1\r\nHost: bot\r\nContent-Length: {len(body)}\r\n"
    head += f"{header.format(secret=sandbox.secret)}\r\n"
    request, last = f"{head}\r\n".encode() + body, f"{head}Connection: close\r\n\r\n".encode() + body
    reader, writer = await asyncio.open_connection("127.0.0.1", int(program.url.rpartition(":")[2]))
    writer.write(request * 19 + last)
    told = await reader.read()
    assert told.count(b"HTTP/1.1 %d" % status) == told.count(b"HTTP/1.1") == answers
    writer.close()


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("engine", "sandbox"),
    combined(("sqlite", "pass"), ("sqlite", "release"), ("postgres", "pass"), ("postgres", "release")),
    indirect=True,
)
async def test_a_conversation_is_served_and_closed(sandbox: Sandbox, start: Start, tmp_path: Path) -> None:
    """From the first word to the proof."""
    await start(CLOSING_FLOW="survey", CLOSING_TIMEOUT="2s")
    visitor = sandbox.visitor()
    await visitor.says("hi")
    await visitor.waits_for("What can I do")
    await visitor.taps("Opening hours")
    await visitor.waits_for("anything else")
    await visitor.ends()
    await visitor.waits_until_closed()
    assert "nobody is active" in await proven(tmp_path, visitor)
    said_once(visitor)


@pytest.mark.parametrize("flow", some(["blocks", "slow", "swallows"]))
async def test_sigterm_ends_it_in_the_middle_of_a_flow(
    sandbox: Sandbox, start: Start, flow: str, tmp_path: Path
) -> None:
    """Also where the flow does not obey: exit 0 at once, and the next process gives control up."""
    program = await start(FLOWS="team_flows", OPENING_FLOW=flow)
    visitor = sandbox.visitor()
    await visitor.says("hi")
    await visitor.waits_for("Let me see.")
    await asyncio.sleep(0.2)
    began = time.monotonic()
    assert await program.told_to_stop() == 0, program.errors.decode()
    assert time.monotonic() - began < 7  # a stop that waits for the flow takes eight seconds
    await start(FLOWS="team_flows", OPENING_FLOW="quick")
    await visitor.ends()
    await visitor.waits_until_closed()
    await proven(tmp_path, visitor)
    assert said_once(visitor) == ["Let me see."]


@pytest.mark.parametrize("moment", some([Moment.AFTER, Moment.BEFORE]))
async def test_kill_9_between_the_answer_and_the_release(
    sandbox: Sandbox, start: Start, moment: Moment, tmp_path: Path
) -> None:
    """Held before the platform released, or right after it: the next process proves it, and says nothing twice."""
    program = await start(FLOWS="team_flows", OPENING_FLOW="quick")
    reached = asyncio.Event()

    def hold(request: ApiRequest, when: Moment) -> Fault | None:
        if request.operation != "ReleaseControl" or when is not moment:
            return None
        reached.set()
        return Fault(delay=1.5, reset=True)

    sandbox.server.faults = hold
    visitor = sandbox.visitor()
    await visitor.says("hi")
    await visitor.waits_for("Second.")
    async with asyncio.timeout(60):
        await reached.wait()
    await program.killed()
    sandbox.server.faults = None
    await start(FLOWS="team_flows", OPENING_FLOW="quick")
    await sandbox.until(
        lambda: None if sandbox.switchboard.holder(visitor.conversation_id) == BOT else True, 40, "it is released"
    )
    await visitor.ends()
    await proven(tmp_path, visitor, 40)
    assert said_once(visitor) == ["First.", "Second."]


@pytest.mark.long
@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("engine", ["postgres", "sqlite"], indirect=True)
async def test_kill_9_again_and_again(sandbox: Sandbox, start: Start, tmp_path: Path) -> None:
    """Ten conversations, three kills at odd moments: all close, nothing is said twice."""
    program = await start()
    visitors = [sandbox.visitor(f"V{number}") for number in range(10)]
    for pause in (0.05, 0.15, 0.3):
        for visitor in visitors[: len(visitors) // 2]:
            await visitor.says("hours")
        await asyncio.sleep(pause)
        await program.killed()
        program = await start()
    for visitor in visitors[5:]:
        await visitor.says("hi")
    for visitor in visitors:
        await visitor.ends()
    for visitor in visitors:
        await proven(tmp_path, visitor, 45)
        assert not sandbox.switchboard.is_open(visitor.conversation_id)
    ids = [
        entry.metadata[EFFECT_KEY]
        for entry in sandbox.switchboard.history
        if entry.kind is Kind.MESSAGE and EFFECT_KEY in entry.metadata
    ]
    assert len(ids) == len(set(ids))


@pytest.mark.usefixtures("engine")
@postgres_first
async def test_web_and_worker_are_two_processes_on_one_database(sandbox: Sandbox, start: Start, tmp_path: Path) -> None:
    """The worker finds what the web has stored; what comes while there is no web comes again."""
    web = await start("web")
    worker = await start("worker")
    visitor = sandbox.visitor()
    await visitor.says("hi")
    await visitor.waits_for("What can I do")
    await visitor.taps("Track my order")
    await visitor.waits_for("order number")
    assert await web.told_to_stop() == 0
    await visitor.ends()
    await start("web", PORT=web.url.rpartition(":")[2])
    await visitor.waits_until_closed()
    await proven(tmp_path, visitor)
    assert await worker.told_to_stop() == 0
    said_once(visitor)


@pytest.mark.long
async def test_a_port_that_is_taken_is_one_line(start: Start) -> None:
    """Exit code 2, and no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        program = await start(ready=False, PORT=str(taken.getsockname()[1]), LOG_LEVEL="ERROR")
        assert await program.ended() == 2
    (line,) = program.errors.decode().splitlines()
    assert line.startswith("HOST, PORT: can't listen on 127.0.0.1:")
    assert "in use" in line


@pytest.mark.parametrize(
    ("url", "words"),
    combined(
        ("mysql://u:secret@h/d", "does not name a database"),
        ("sqlite:////no/such/folder/bot.db", "directory exists"),
        ("postgres://u:secret@127.0.0.1:1/d", "nothing listens there"),
        ("postgres://u:sec/ret@h/d", "percent-encode"),
        ("sqlite:///{folder}/text.db", ""),
        ("", "does not name a database"),
    ),
)
async def test_a_database_that_cant_be_used_is_one_line(start: Start, tmp_path: Path, url: str, words: str) -> None:
    """Exit code 2, no traceback, no password."""
    (tmp_path / "text.db").write_text("this is no database, but a text file\n" * 100)
    program = await start(ready=False, DATABASE_URL=url.format(folder=tmp_path))
    assert await program.ended() == 2
    (line,) = program.errors.decode().splitlines()
    assert line.startswith("DATABASE_URL: ")
    assert words in line
    assert "secret" not in line


@pytest.mark.long
async def test_a_flow_that_is_not_there_is_one_line(start: Start) -> None:
    """Exit code 2, and the names that there are."""
    program = await start(ready=False, FLOWS="team_flows", OPENING_FLOW="nope")
    assert await program.ended() == 2
    assert program.errors.decode().splitlines() == [
        "OPENING_FLOW: there is no flow 'nope'; known flows: blocks, quick, slow, swallows"
    ]


@pytest.mark.parametrize(
    "request_",
    some(
        [b"\x16\x03\x01\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /none HTTP/1.0\r\n\r\n"], count=0
    ),
)
async def test_no_answer_names_versions(start: Start, request_: bytes) -> None:
    """Neither of aiohttp nor of Python; not even the answer to what is no HTTP."""
    program = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(program.url.rpartition(":")[2]))
    writer.write(request_)
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert b"Server: switchboard-bot\r\n" in head
    assert b"aiohttp" not in head
    assert b"Python" not in head


@pytest.mark.long
async def test_metrics_on_a_port_of_their_own(start: Start) -> None:
    """METRICS_PORT shows them apart from what the platform reaches; without that and a token they are off."""
    port = free_port()
    program = await start(METRICS_PORT=str(port))
    async with aiohttp.ClientSession() as http:
        for url, status in ((program.url, 404), (f"http://127.0.0.1:{port}", 200)):
            async with http.get(f"{url}/metrics") as answer:
                assert answer.status == status
                assert ("METRICS_TOKEN" in await answer.text()) is (status == 404)
            async with http.get(f"{url}/readyz") as answer:
                assert answer.status == 200
        async with http.post(f"http://127.0.0.1:{port}/webhooks/sunshine") as answer:
            assert answer.status == 404


async def test_a_worker_apart_shows_its_numbers(sandbox: Sandbox, start: Start) -> None:
    """Where METRICS_PORT says; a port that is taken is told in a line."""
    port = free_port()
    web = await start("web")
    worker = await start("worker", METRICS_PORT=str(port))
    worker.url = f"http://127.0.0.1:{port}"
    await worker.until_ready()
    visitor = sandbox.visitor()
    await visitor.says("hi")
    await visitor.waits_for(lambda _: True)
    async with aiohttp.ClientSession() as http, http.get(f"{worker.url}/metrics") as answer:
        page = await answer.text()
    assert 'switchboard_api_calls_total{action="post_message",outcome="accepted"} 1.0' in page
    assert "switchboard_turn_seconds_count 1.0" in page
    second = await start("worker", METRICS_PORT=web.url.rpartition(":")[2])
    assert await second.ended() == 2
    assert "METRICS_PORT: can't listen on" in second.errors.decode()


async def test_no_rehearsal_is_loaded(sandbox: Sandbox, tmp_path: Path) -> None:
    """Of all that a bot imports from its start to its end, with a tape, the console and a conversation."""
    settings = {
        **sandbox.settings_for_bot(),
        "OPENING_FLOW": "triage",
        "RECORD_TAPE": str(tmp_path / "bot.jsonl"),
        "CONSOLE_TOKEN": "a token of the console",
    }
    imports = tmp_path / "imports"
    with imports.open("wb") as errors:
        program = await launched("serve", tmp_path, settings, errors, program=("-X", "importtime", "-m", "bot"))
        try:
            await program.until_ready()
            sandbox.connect(f"{program.url}/webhooks/sunshine")
            visitor = sandbox.visitor()
            await visitor.says("hi")
            await visitor.waits_for(lambda _: True)
            assert await program.told_to_stop() == 0
        finally:
            await program.swept()
    lines = [line for line in imports.read_text().splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert {"bot.app", "bot.recording", "bot.console.site"} <= loaded
    rehearsal = ("bot.sandbox", "bot.replay", "bot.simulation", "bot.testing")
    assert {name for name in loaded if name.startswith(rehearsal)} == set()
