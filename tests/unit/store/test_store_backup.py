"""A copy of the database while the bot runs."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from store_samples import event
from typer.testing import CliRunner

from bot.cli import app
from bot.settings import EnvFile, Settings
from bot.store import SqliteStore, StoreError, current_problem, migrate
from bot.store.backup import back_up


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A migrated database."""
    made = tmp_path / "bot.db"
    migrate(f"sqlite:///{made}")
    return made


def _ids(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [id_ for (id_,) in connection.execute("SELECT id FROM inbox ORDER BY seq")]


async def test_while_it_is_written(path: Path, tmp_path: Path) -> None:
    """The copy is the database of one moment, with all that was acknowledged before, and opens as a database does."""
    store = SqliteStore(path)
    await store.start()
    target = tmp_path / "copy.db"
    try:
        await store.receive([event("before")])
        copying = asyncio.create_task(asyncio.to_thread(back_up, path, target))
        for number in range(50):
            await store.receive([event(f"meanwhile {number}")])
        await copying
    finally:
        await store.stop()
    copied, known = _ids(target), _ids(path)
    assert copied[0] == "before"
    assert copied == known[: len(copied)]
    assert len(known) == 51
    assert current_problem(f"sqlite:///{target}") is None
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    restored = SqliteStore(target)
    await restored.start()
    await restored.receive([event("after")])
    await restored.stop()
    assert _ids(target)[-1] == "after"


def test_a_file_that_is_there_stays(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("keep me")
    with pytest.raises(FileExistsError):
        back_up(path, target)
    assert target.read_text() == "keep me"


def test_a_copy_that_fails_leaves_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes half a copy for a whole one."""
    monkeypatch.setattr("os.fsync", _full)
    with pytest.raises(OSError, match="no space"):
        back_up(path, tmp_path / "copy.db")
    assert sorted(found.name for found in tmp_path.iterdir() if "copy" in found.name) == []


def _full(_: int) -> None:
    raise OSError(28, "no space")


@pytest.mark.parametrize("content", [None, b"", b"not a database at all, but long enough to look at" * 20])
def test_what_is_no_database(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "odd.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError):
        back_up(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize(
    ("url", "file", "code", "says"),
    [
        ("sqlite:///bot.db", "copy.db", 0, "Copied the database to copy.db"),
        ("sqlite:///bot.db", "bot.db", 2, "bot.db already exists"),
        ("sqlite:///bot.db", "nowhere/copy.db", 2, "nowhere/copy.db can't be written"),
        ("sqlite:///none.db", "copy.db", 2, "DATABASE_URL: "),
        ("postgresql://me:secret@host/bot", "copy.db", 2, "pg_dump --format=custom"),
    ],
)
def test_the_command(path: Path, url: str, file: str, code: int, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(EnvFile, "path", Path(".env"))
    monkeypatch.chdir(path.parent)
    done = CliRunner().invoke(app, ["backup", file], env={"DATABASE_URL": url})
    assert (done.exit_code, says in done.output) == (code, True), done.output
    assert "secret" not in done.output
