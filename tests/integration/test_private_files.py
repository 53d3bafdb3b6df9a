"""What people said is for its owner's eyes, and nobody else's lock on the files keeps the bot waiting for long."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.private_files import close_to_others, open_private
from bot.recording import Recorder
from bot.store import SqliteStore, Unavailable, migrate
from bot.store.migrations import empty_database, enable_wal
from bot.store.sqlite import presence
from bot.store.sqlite.presence import Presence
from bot.tape import TapedDelivery, write_tape
from webhooks.inbox import NewEvent

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DELIVERY = TapedDelivery(NOW, {"app": {"id": "a"}, "webhook": {"id": "w", "version": "v2"}, "events": []})

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="other rights, other locks")

_LOCK = """
import fcntl, os, struct, sys
kind, path, start, length = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
file = os.open(path, os.O_RDONLY if kind != "write" else os.O_RDWR)
if kind == "flock":
    fcntl.flock(file, fcntl.LOCK_EX)
else:
    exclusive = kind == "write"
    fcntl.lockf(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, length, start)
print("locked", flush=True)
sys.stdin.readline()
"""


@contextmanager
def _locked(kind: str, path: Path, start: int = 0, length: int = 0) -> Iterator[int]:
    """Have another process lock a file (as a user who may only read it could), and give its id."""
    command = [sys.executable, "-c", _LOCK, kind, str(path), str(start), str(length)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as locker:  # noqa: S603
        try:
            assert locker.stdout is not None
            assert locker.stdout.readline() == "locked\n"
            yield locker.pid
        finally:
            locker.kill()


def _rights(folder: Path) -> dict[str, str]:
    return {file.name: oct(file.stat().st_mode & 0o777) for file in folder.iterdir()}


@pytest.fixture(autouse=True)
def _generous() -> Iterator[None]:
    """Nothing here rests on a strict umask."""
    before = os.umask(0)
    yield
    os.umask(before)


async def _used(path: Path, before_stop: Callable[[], None]) -> None:
    store = SqliteStore(path)
    await store.start()
    await store.join(NOW)
    await store.receive([NewEvent("e1", "c1", "t", b"{}", NOW)])
    before_stop()
    await store.stop()


class TestDatabase:
    """The database, its log, the log's index, and the file by which workers know each other."""

    async def test_new(self, tmp_path: Path) -> None:
        """From the moment that they exist."""
        path = tmp_path / "bot.db"
        migrate(f"sqlite:///{path}")
        seen: dict[str, str] = {}
        await _used(path, lambda: seen.update(_rights(tmp_path)))
        assert seen == dict.fromkeys(("bot.db", "bot.db-wal", "bot.db-shm", "bot.db-workers"), "0o600")

    async def test_of_an_older_version(self, tmp_path: Path) -> None:
        """They were readable by everybody, and left behind by a process that was killed."""
        path = tmp_path / "bot.db"
        path.write_bytes(empty_database())
        path.with_name("bot.db-workers").touch()
        with closing(sqlite3.connect(path)) as other:
            enable_wal(other)
            other.execute("SELECT * FROM inbox").fetchall()
            before = _rights(tmp_path)
            seen: dict[str, str] = {}
            await _used(path, lambda: seen.update(_rights(tmp_path)))
        assert set(before.values()) == {"0o666"}
        assert set(before) == set(seen)
        assert set(seen.values()) == {"0o600"}

    def test_somebody_elses(self, tmp_path: Path) -> None:
        """A file of another program keeps its rights."""
        path = tmp_path / "app.db"
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE orders (id int)")
        path.chmod(0o666)
        with pytest.raises(Unavailable, match="another program"):
            migrate(f"sqlite:///{path}")
        assert _rights(tmp_path) == {"app.db": "0o666"}


class TestTapesAndReports:
    """Everything else that the commands write."""

    @pytest.mark.parametrize("name", ["tape.jsonl", "tape.jsonl.gz"])
    @pytest.mark.parametrize("exists", [False, True])
    def test_tape(self, tmp_path: Path, name: str, exists: bool) -> None:
        """Recorded, exported or scrubbed; also one that was there, and what a killed export left behind."""
        tape = tmp_path / name
        if exists:
            tape.touch(0o666)
            tape.with_name(f"{name}.part").touch(0o666)
        write_tape(tape, [DELIVERY])
        assert _rights(tmp_path) == {name: "0o600"}

    @pytest.mark.parametrize("exists", [False, True])
    def test_recording(self, tmp_path: Path, exists: bool) -> None:
        """A recorder that goes on with an older tape closes it first."""
        tape = tmp_path / "live.jsonl"
        if exists:
            tape.touch(0o666)
        recorder = Recorder(tape)
        recorder.start()
        recorder.take(NOW, b"{}")
        recorder.stop()
        assert _rights(tmp_path) == {"live.jsonl": "0o600"}
        assert tape.read_bytes().count(b"\n") == 1

    @pytest.mark.parametrize("exists", [False, True])
    def test_report(self, tmp_path: Path, exists: bool) -> None:
        """The report of a replay shows conversations."""
        tape, html = Path(__file__).parents[1] / "tapes" / "ended_at_once.jsonl", tmp_path / "report.html"
        if exists:
            html.touch(0o666)
        result = CliRunner().invoke(app, ["replay", str(tape), "--html", str(html), "--processes", "1"])
        assert html.stat().st_size > 1000, result.output
        assert _rights(tmp_path) == {"report.html": "0o600"}

    def test_what_is_no_file(self) -> None:
        """A terminal, a pipe or a device keeps its rights."""
        before = Path(os.devnull).stat().st_mode
        with open_private(Path(os.devnull)) as file:
            file.write(b"x")
        close_to_others(Path(os.devnull))
        assert Path(os.devnull).stat().st_mode == before


class TestLocks:
    """The rights keep other users out, but not one who opened a file before, nor root's programs."""

    async def test_workers_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker waits for some seconds, and says for whom."""
        monkeypatch.setattr(presence, "PATIENCE", 0.3)
        path = tmp_path / "bot.db"
        migrate(f"sqlite:///{path}")
        path.with_name("bot.db-workers").touch()
        store = SqliteStore(path)
        await store.start()
        with (
            _locked("flock", path.with_name("bot.db-workers")) as pid,
            pytest.raises(Unavailable, match=f"bot.db-workers was kept locked by process {pid} .* end that program"),
        ):
            await store.join(NOW)
        assert await store.join(NOW) == 0
        await store.stop()

    def test_taken_between_alone_and_together(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """One who steals the lock while it is being shared doesn't stop the worker for ever either."""
        monkeypatch.setattr(presence, "PATIENCE", 0.3)
        thief, worker = Presence(str(tmp_path / "bot.db")), Presence(str(tmp_path / "bot.db"))
        assert thief.enter()
        with pytest.raises(Unavailable, match="was kept locked"):
            worker.enter()
        worker._file = os.open(tmp_path / "bot.db-workers", os.O_RDWR)
        with pytest.raises(Unavailable, match="was kept locked"):
            worker.share()
        worker.leave()
        thief.leave()

    @pytest.mark.parametrize(
        ("kind", "suffix", "start", "length"),
        [
            ("write", "", 1073741824, 512),  # PENDING, RESERVED and SHARED of the database itself
            ("read", "-shm", 120, 8),  # the writer's lock, which a reader of the file can keep
        ],
    )
    async def test_database(self, tmp_path: Path, kind: str, suffix: str, start: int, length: int) -> None:
        """Opening and writing end within the time-out, with the id of the process that has the lock."""
        path = tmp_path / "bot.db"
        migrate(f"sqlite:///{path}")
        with closing(sqlite3.connect(path)) as keeps_the_index:
            if suffix:
                keeps_the_index.execute("SELECT * FROM inbox").fetchall()
            with _locked(kind, Path(f"{path}{suffix}"), start, length) as pid:
                store = SqliteStore(path, busy_timeout=0.2)
                with pytest.raises(Unavailable, match=f"another process kept it locked .* by process {pid}"):
                    await _start_and_write(store)
                await store.stop()

    @pytest.mark.long
    def test_serve_ends(self, tmp_path: Path) -> None:
        """The whole command: it says what it waits for, and ends with code 2."""
        path = tmp_path / "bot.db"
        migrate(f"sqlite:///{path}")
        path.with_name("bot.db-workers").touch()
        environment: dict[str, Any] = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "SUNSHINE_BASE_URL": "http://127.0.0.1:9/sc",
            "SUNSHINE_APP_ID": "app",
            "SUNSHINE_KEY_ID": "int_1",
            "SUNSHINE_KEY_SECRET": "secret",
            "SUNSHINE_SWITCHBOARD_INTEGRATION": "bot",
            "SUNSHINE_WEBHOOK_SECRET": "a-secret-of-more-than-sixteen",
            "CONTROL_MODE": "release",
            "DATABASE_URL": f"sqlite:///{path}",
            "PORT": "0",
        }
        with _locked("flock", path.with_name("bot.db-workers")) as pid:
            command = [sys.executable, "-m", "bot", "serve"]
            done = subprocess.run(  # noqa: S603
                command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
            )
        assert done.returncode == 2, done.stderr
        assert re.search(rf'"processes": \[{pid}\].*"event": "waiting_for_lock"', done.stderr)
        assert f"bot.db-workers was kept locked by process {pid} for 10 s: end that program" in done.stderr
        assert "Traceback" not in done.stderr


async def _start_and_write(store: SqliteStore) -> None:
    await store.start()
    await store.receive([NewEvent("e1", "c1", "t", b"{}", NOW)])
