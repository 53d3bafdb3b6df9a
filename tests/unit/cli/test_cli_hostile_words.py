"""Commands that show what others wrote: nothing of it steers the terminal, and no line is forged."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_cli_terminal import EVERYTHING
from typer.testing import CliRunner, Result

from bot.cli import app
from bot.control.history import Moment, MomentKind
from bot.control.state import Action, Conversation, Duty, Holder, Integration, Stage, Who
from bot.sandbox.sandbox import Sandbox
from bot.store import Change, SqliteStore, migrate
from bot.store.operators import Standing
from webhooks.inbox import NewEvent

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FORGED = "\nDone: nobody is active, by an event."
MINUTE = timedelta(minutes=1)
HOSTILE = EVERYTHING.replace("\ud83d", "").replace("\x00", "") + FORGED  # no database keeps those two
ID = f"c1{HOSTILE}"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a bot whose database holds hostile text wherever it comes from outside."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/bot.db"
    migrate(url)
    asyncio.run(_fill(tmp_path / "bot.db"))
    return {**Sandbox().settings_for_bot(), "DATABASE_URL": url, "COLUMNS": "4000"}


async def _fill(path: Path) -> None:
    store = SqliteStore(str(path))
    await store.start()
    message = {
        "id": "m",
        "author": {"type": "user", "displayName": HOSTILE},
        "content": {"type": "text", "text": HOSTILE},
    }
    payload = {"conversation": {"id": ID}, "message": message}
    said = json.dumps({"id": f"e1{HOSTILE}", "type": "conversation:message", "payload": payload}).encode()
    await store.receive(
        [
            NewEvent(f"e1{HOSTILE}", ID, "conversation:message", said, NOW),
            NewEvent(f"e2{HOSTILE}", None, f"t{HOSTILE}", b"{}", NOW),
        ]
    )
    await store.set_aside(f"e2{HOSTILE}", HOSTILE)
    (work,) = await store.claim(owner="w", now=NOW, lease=MINUTE, limit=1)
    other = Holder(Who.OTHER, Integration(f"sw{HOSTILE}", HOSTILE, HOSTILE), how=HOSTILE)
    duty = Duty(1, Action.PASS, HOSTILE, NOW, NOW, Stage.ACT, target=HOSTILE, last_answer=HOSTILE)
    state = Conversation(ID, holder=other, duty=duty)
    moments = [Moment(NOW, MomentKind.REPORT, HOSTILE)]
    await store.save(work.lease, Change(state, handled=[f"e1{HOSTILE}"], history=moments, release=True), NOW)
    await store.stop()


def run(environment: dict[str, str], *arguments: str) -> Result:
    """Run `switchboard-bot`."""
    return CliRunner().invoke(app, [*arguments], env=environment)


COMMANDS = [
    ("conversations", "list"),
    *(("conversations", "list", "--filter", standing.value) for standing in Standing),
    ("conversations", "list", "--json"),
    ("conversations", "show", ID),
    ("conversations", "show", ID, "--json"),
    ("conversations", "show", f"none{HOSTILE}"),
    ("conversations", "release", ID),
    ("conversations", "release", ID, "--take-from", "x"),
    ("conversations", "release", f"none{HOSTILE}"),
    ("conversations", "retry"),
    ("conversations", "retry", "--json"),
    ("conversations", "retry", f"none{HOSTILE}"),
    ("conversations", "retry", f"e2{HOSTILE}"),
    ("tape", "export", f"none{HOSTILE}/tape.jsonl"),
    ("tape", "scrub", f"none{HOSTILE}", "tape.jsonl"),
    ("replay", f"none{HOSTILE}"),
    ("replay", "hostile.jsonl"),
    ("replay", "hostile.jsonl", "--json"),
    ("replay", "hostile.jsonl", "--me", HOSTILE),
    ("replay", "hostile.jsonl", "--baseline", "hostile.jsonl"),
    ("replay", "hostile.jsonl", "--fault", HOSTILE),
    ("setup", "--mode", "pass", "--public-url", f"https://{HOSTILE}"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(ascii(word[:8]) for word in command))
def test_no_command_prints_it_raw(command: tuple[str, ...], environment: dict[str, str], tmp_path: Path) -> None:
    """Whatever a command says, each of its lines is printable and its own."""
    holder = {"id": f"sw{HOSTILE}", "name": HOSTILE, "integrationType": "custom"}
    payload = {"conversation": {"id": ID, "activeSwitchboardIntegration": holder}}
    event = {"id": f"e{HOSTILE}", "type": f"t{HOSTILE}", "createdAt": "2026-03-01T12:00:00Z", "payload": payload}
    body = {"webhook": {"version": "v2"}, "events": [event]}
    (tmp_path / "hostile.jsonl").write_text(json.dumps({"at": "2026-03-01T12:00:00Z", "body": body, "note": HOSTILE}))

    result = run(environment, *command)

    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    lines = (result.stdout + result.stderr).splitlines()
    assert lines
    assert [line for line in lines if not line.isprintable()] == []
    assert not [line for line in lines if line.strip().startswith("Done:")]
