"""`replay` and `tape` on the command line: what they refuse, and what they write."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path

import httpx2
import pytest
from tiers import combined
from typer.testing import CliRunner

from bot.cli import app
from bot.replay.listener import listen
from bot.replay.live_post import LivePostError, post_tapes
from bot.store import migrate, open_store
from bot.store.postgres import export as postgres_export
from bot.tape import read_tape
from webhooks.intake import read_delivery

TAPES = Path(__file__).parent.parent.parent / "tapes"
TAPE = TAPES / "ended_mid_flow.jsonl"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        ([str(TAPE), "--fault", "gremlins"], "--fault: unknown fault 'gremlins'"),
        ([str(TAPE), "--flows", "no.such.module"], "FLOWS: module 'no.such.module' can't be imported"),
        ([str(TAPE), "--opening", "none-such"], "OPENING_FLOW: there is no flow 'none-such'"),
        ([str(TAPE), "--against", "https://bot.example.com"], "add --yes-really"),
        ([str(TAPE), "--against", "http://127.0.0.1:1"], "SUNSHINE_WEBHOOK_SECRET: is not set"),
        ([str(TAPE), "--html", "/no/such/folder/a.html"], "--html: /no/such/folder/a.html can't be written"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_line(arguments: list[str], problem: str) -> None:
    """Exit code 2."""
    told = CliRunner().invoke(app, ["replay", *arguments])

    assert told.exit_code == 2
    assert problem in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1


def test_a_tape_without_the_bot_asks_who_it_is(tmp_path: Path) -> None:
    """With the names that could be it; and --me answers."""
    text = TAPE.read_text().replace("switchboard-bot", "my-bot")
    both = tmp_path / "both.jsonl"
    both.write_text(text + TAPE.read_text().replace("switchboard-bot", "their-bot").replace('"note"', '"at_"', 0))
    one = tmp_path / "one.jsonl"
    one.write_text(text)

    assert CliRunner().invoke(app, ["replay", str(one), "--mode", "pass"]).exit_code == 0
    lines = both.read_text().splitlines()
    both.write_text("\n".join([lines[0], *(line for line in lines[1:] if '"note"' not in line)]))
    told = CliRunner().invoke(app, ["replay", str(both)])
    assert told.exit_code == 2
    assert "pass --me with one of my-bot, their-bot" in told.stderr
    assert CliRunner().invoke(app, ["replay", str(both), "--me", "my-bot"]).exit_code in (0, 1)


@pytest.mark.parametrize(("engine", "page"), combined(("sqlite", 1000), ("postgres", 2), ("postgres", 1000), count=2))
def test_export_gives_back_what_came(
    engine: str, page: int, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the deliveries in which it came; by conversation, time and state."""
    monkeypatch.setattr(postgres_export, "PAGE", page)
    url = f"sqlite:///{tmp_path}/bot.db" if engine == "sqlite" else request.getfixturevalue("postgres_url")
    migrate(url)
    came = list(read_tape(TAPE))

    async def fill() -> None:
        store = open_store(url)
        await store.start()
        for delivery in came:
            await store.receive(read_delivery(json.dumps(delivery.body).encode(), delivery.at))
        await store.stop()

    asyncio.run(fill())

    def export(*options: str) -> list[tuple[datetime, int]]:
        out = tmp_path / "out.jsonl"
        told = CliRunner().invoke(app, ["tape", "export", str(out), "--database-url", url, *options])
        assert told.exit_code == 0, told.output
        return [(delivery.at, len(delivery.events)) for delivery in read_tape(out)]

    whole = export()
    assert [event for d in read_tape(tmp_path / "out.jsonl") for event in d.events] == [
        e for d in came for e in d.events
    ]
    assert sum(count for _, count in whole) == sum(len(delivery.events) for delivery in came)
    assert export("--state", "pending") == whole
    assert export("--state", "handled") == []
    assert export("--conversation", "another") == []
    (of,) = {event["payload"]["conversation"]["id"] for delivery in came for event in delivery.events}
    assert export("--conversation", "another", "--conversation", of) == whole
    middle = came[3].at
    early, late = export("--until", middle.isoformat()), export("--since", middle.isoformat())
    assert early + late == whole
    assert all(at < middle for at, _ in early)


def test_export_needs_a_database(tmp_path: Path) -> None:
    """Exit code 2, and nothing is written."""
    told = CliRunner().invoke(
        app, ["tape", "export", str(tmp_path / "a.jsonl"), "--database-url", f"sqlite:///{tmp_path}/none.db"]
    )

    assert told.exit_code == 2
    assert "DATABASE_URL" in told.stderr
    assert not list(tmp_path.iterdir())


def test_scrub_does_not_write_onto_its_tape(tmp_path: Path) -> None:
    """The original would be lost."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(TAPE.read_bytes())
    told = CliRunner().invoke(app, ["tape", "scrub", str(path), str(path)])

    assert told.exit_code == 2
    assert path.read_bytes() == TAPE.read_bytes()


async def test_what_is_posted_to_a_listener_is_recorded(tmp_path: Path) -> None:
    """Posted by `replay --against`, forwarded from one to the other, with the key checked and not recorded."""
    async with (
        listen(tmp_path / "last.jsonl", "127.0.0.1", 0, secrets=["key"]) as last,
        listen(tmp_path / "first.jsonl", "127.0.0.1", 0, forward=f"http://127.0.0.1:{last}/x") as first,
    ):
        posted = await post_tapes([TAPE], f"http://127.0.0.1:{first}", "key", 0, yes_really=False)
        wrong = await post_tapes([TAPE], f"http://127.0.0.1:{first}", "wrong", 0, yes_really=False)

    bodies = [delivery.body for delivery in read_tape(TAPE)]
    assert posted.in_words == f"200: {len(bodies)}"
    assert not posted.refused
    assert wrong.in_words == f"401: {len(bodies)}"
    assert wrong.refused
    for name in ("first", "last"):
        assert [delivery.body for delivery in read_tape(tmp_path / f"{name}.jsonl")] == bodies
        assert b"key" not in (tmp_path / f"{name}.jsonl").read_bytes()


async def test_a_listener_takes_only_deliveries(tmp_path: Path) -> None:
    """And says what is wrong."""
    async with listen(tmp_path / "a.jsonl", "127.0.0.1", 0) as port, httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"http://127.0.0.1:{port}/", content=b"{}")

    assert answer.status_code == 400
    assert list(read_tape(tmp_path / "a.jsonl")) == []


async def test_only_this_machine_is_posted_to_unless_really() -> None:
    """A name that resolves to here is still a name."""
    for url in ("http://10.0.0.1:8080", "https://bot.example.com", "ftp://127.0.0.1", "nonsense"):
        with pytest.raises(LivePostError):
            await post_tapes([TAPE], url, "key", 0, yes_really=False)
