"""The flows' lifespan in the real process: open while the worker runs, and told if it fails."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bot import Chat, flow, lifespan
from bot.app import Parts, running
from bot.settings import Settings, SettingsError, load_settings
from bot.signals import Signal
from bot.store.migrations import migrate

MODULE = "flows_with_a_lifespan"
happened: list[str] = []


@flow("looks")
async def looks(chat: Chat) -> None:
    """A flow."""


@lifespan
async def works() -> AsyncIterator[dict[str, int]]:
    """Opens and closes."""
    happened.append("opened")
    yield {"db": 7}
    happened.append("closed")


@lifespan
async def does_not_open() -> AsyncIterator[None]:
    """The database is down."""
    if not happened:
        raise ConnectionRefusedError("postgres://bot:hunter2@db")
    yield


@lifespan
async def does_not_close() -> AsyncIterator[None]:
    """The database went away."""
    yield
    raise ConnectionResetError("postgres://bot:hunter2@db")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of FLOWS."""
    happened.clear()
    made = ModuleType(MODULE)
    vars(made)["looks"] = looks
    monkeypatch.setitem(sys.modules, MODULE, made)
    yield made
    happened.clear()


def _settings(folder: Path, **more: Any) -> Settings:
    url = f"sqlite:///{folder / 'bot.db'}"
    migrate(url)
    given = {
        "sunshine_base_url": "http://127.0.0.1:9",
        "sunshine_app_id": "app",
        "sunshine_key_id": "int_x",
        "sunshine_key_secret": "secret",
        "sunshine_switchboard_integration": "bot",
        "sunshine_webhook_secret": "secret-of-the-webhook",
        "control_mode": "pass",
        "host": "127.0.0.1",
        "port": 0,
        "database_url": url,
        "flows": MODULE,
        "opening_flow": "looks",
        **more,
    }
    return load_settings(_env_file=None, **given)


async def test_it_is_open_while_the_worker_runs(module: ModuleType, tmp_path: Path) -> None:
    """And closed once it has ended."""
    vars(module)["works"] = works
    async with running(_settings(tmp_path), hooks=()):
        assert happened == ["opened"]
    assert happened == ["opened", "closed"]


async def test_a_process_without_a_worker_opens_nothing(module: ModuleType, tmp_path: Path) -> None:
    """No flow runs there."""
    vars(module)["works"] = works
    async with running(_settings(tmp_path), Parts(worker=False), hooks=()):
        assert happened == []


@pytest.mark.parametrize("log_errors", ["places", "full"])
async def test_one_that_does_not_open_stops_the_start(module: ModuleType, tmp_path: Path, log_errors: str) -> None:
    """In one line, which quotes the error only where that is wanted."""
    vars(module)["broken"] = does_not_open
    with pytest.raises(SettingsError) as refused:
        async with running(_settings(tmp_path, log_errors=log_errors), hooks=()):
            pass
    (line,) = refused.value.problems
    assert line.startswith("FLOWS: the lifespan does_not_open failed: ConnectionRefusedError")
    assert "test_lifespan.py:" in line
    assert ("hunter2" in line) is (log_errors == "full")


async def test_one_that_does_not_close_is_told(module: ModuleType, tmp_path: Path) -> None:
    """The bot ends all the same."""
    vars(module)["broken"] = does_not_close
    signals: list[Signal] = []
    async with running(_settings(tmp_path), hooks=(signals.append,)):
        pass
    (told,) = [signal for signal in signals if signal.event == "lifespan_failed"]
    assert "ConnectionResetError at " in str(told.fields["error"])
    assert "hunter2" not in str(told.fields["error"])


async def test_two_stop_the_start(module: ModuleType, tmp_path: Path) -> None:
    """Like everything else that can't work."""
    vars(module).update(works=works, broken=does_not_close)
    with pytest.raises(SettingsError) as refused:
        async with running(_settings(tmp_path), hooks=()):
            pass
    assert refused.value.problems == [f"FLOWS: there is more than one @lifespan, in '{MODULE}' and '{MODULE}'"]
