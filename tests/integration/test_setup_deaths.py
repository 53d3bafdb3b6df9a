"""`setup` when its process dies, when answers get lost, when others are at it: the next run mends it all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dotenv import set_key
from fresh_account import ALL_OF_IT, WRITING, Place, fresh, set_up
from tiers import some

from bot.account import application, env_file, own_key
from bot.account.env_file import only_one
from bot.cli import setup as command
from bot.sandbox import BOT, WORKSPACE, ApiRequest, Fault, Moment
from bot.settings import Settings, load_settings
from bot.sunshine import SunshineClient


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine, and no waiting for what may be read late."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(application, "VERIFY_PAUSES", application.VERIFY_PAUSES[:1])


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """An account that has never seen the bot."""
    async with fresh(tmp_path, "pass") as made:
        yield made


class Died(Exception):
    """The process is gone."""


@contextmanager
def dying_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    """The process dies at the nth point: before and after each call that changes something, and each writing."""
    passed = 0

    def point() -> None:
        nonlocal passed
        passed += 1
        if passed == number:
            raise Died

    call, write, find = application._call, env_file.write_env, own_key.find_or_make

    async def mortal_call(*arguments: Any) -> None:
        point()
        await call(*arguments)
        point()

    def mortal_write(*arguments: Any) -> None:
        point()
        write(*arguments)
        point()

    async def mortal_find(client: SunshineClient, integration_id: str) -> Any:
        point()
        key = await find(client, integration_id)
        point()
        return key

    with monkeypatch.context() as patch:
        patch.setattr(application, "_call", mortal_call)
        patch.setattr(command, "write_env", mortal_write)
        patch.setattr(own_key, "find_or_make", mortal_find)
        yield


def is_complete(place: Place) -> bool:
    """One of each, linked as it should be, and the settings to go with it."""
    board = place.sandbox.switchboard
    (mine,) = [one for one in board.integrations.values() if one.type == "custom"]
    (webhook,) = board.webhooks.values()
    me, desk = board.member(BOT), board.member(WORKSPACE)
    settings = load_settings(_env_file=place.file)
    keys = {key.id: key.secret for key in place.sandbox.keys.of_integration(mine.id)}
    return (
        (me.integration_id, me.next_id, desk.next_id, board.default_id) == (mine.id, desk.id, me.id, me.id)
        and webhook.integration_id == mine.id
        and settings.sunshine_webhook_secret[0].get_secret_value() == webhook.secret
        and keys.get(settings.sunshine_key_id) == settings.sunshine_key_secret.get_secret_value()
    )


@pytest.mark.parametrize("every", some([6, 1]))
async def test_it_dies_anywhere_and_the_next_run_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """Whatever was done stays, nothing is made twice; only a key whose secret died with the process stays behind."""
    for number in range(1, 100, every):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with fresh(folder, "pass") as place:
            with dying_at(monkeypatch, number):
                died = isinstance((await place.setup(*ALL_OF_IT)).exception, Died)
            if not died:
                break
            again = await place.setup(*ALL_OF_IT)
            assert again.exit_code == 0, again.output
            assert is_complete(place)
            place.writes()
            await place.setup(*ALL_OF_IT)
            assert place.writes() == []
    assert number - every < 19 <= number  # 5 changes, 3 writings, 1 key: 2 points each, all passed


@pytest.mark.parametrize("moment", Moment)
async def test_answers_get_lost(place: Place, moment: Moment) -> None:
    """A change whose answer is lost is looked up: it happened, or the run ends and says so. Nothing is made twice."""
    struck: set[str] = set()

    def faults(request: ApiRequest, at: Moment) -> Fault | None:
        if request.method in WRITING and at is moment and request.operation not in struck:
            struck.add(request.operation)
            return Fault(reset=True)
        return None

    place.sandbox.server.faults = faults
    for _ in range(10):
        result = await place.setup(*ALL_OF_IT)
        if result.exit_code == 0:
            break
        assert result.exit_code == 1
        assert "Run `switchboard-bot setup` again" in result.stderr
        assert "Traceback" not in result.output
    assert struck
    assert is_complete(place)


@pytest.mark.parametrize(
    "operation", ["CreateIntegration", "UpdateSwitchboardIntegration", "CreateSwitchboardIntegration"]
)
async def test_the_platform_refuses(place: Place, operation: str) -> None:
    """It says what could not be done, and what to do."""
    place.sandbox.server.faults = lambda request, _: Fault(status=403) if request.operation == operation else None
    result = await place.setup(*ALL_OF_IT)
    assert result.exit_code == 1
    assert result.stderr.startswith("Could not ")
    assert len(result.stderr.splitlines()) == 2


async def test_a_yes_without_effect_is_not_believed(place: Place) -> None:
    """Each change has to show in a read."""
    board = place.sandbox.switchboard
    board.update_switchboard = lambda *_: {"switchboard": {}}  # type: ignore[method-assign]
    result = await place.setup(*ALL_OF_IT)
    assert result.exit_code == 1
    assert "the platform accepted it, but it has no effect" in result.stderr


async def test_the_file_can_t_be_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so before anything is made."""
    place.writes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(env_file, "set_key", full)
    result = await place.setup(*ALL_OF_IT)
    assert result.exit_code == 2
    assert result.stderr.endswith("can't be written: No space left on device\n")
    assert place.writes() == []


async def test_a_key_that_can_t_be_kept_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its secret is lost, and so a person has to delete it."""

    def full(path: Path, name: str, value: str, **more: Any) -> None:
        if name == "SUNSHINE_KEY_ID":
            raise OSError(28, "No space left on device")
        set_key(path, name, value, **more)

    monkeypatch.setattr(env_file, "set_key", full)
    result = await place.setup(*ALL_OF_IT)
    (key,) = place.sandbox.keys.of_integration(place.sandbox.switchboard.member(BOT).integration_id)
    assert result.exit_code == 1
    assert f"Delete the API key {key.id}, whose secret is lost" in result.stderr
    assert key.secret not in result.output


async def test_two_at_once(place: Place) -> None:
    """The second one waits for nothing, and says so."""
    with only_one(place.file):
        result = await place.setup(*ALL_OF_IT)
    assert result.exit_code == 2
    assert "another set-up is running" in result.stderr
    assert place.writes() == []


async def test_two_on_different_machines(tmp_path: Path) -> None:
    """Both have made an integration for the same target: a person has to choose."""
    async with set_up(tmp_path, "pass") as place:
        board = place.sandbox.switchboard
        (mine,) = board.webhooks.values()
        webhook = {"target": mine.target, "triggers": []}
        board.create_integration({"type": "custom", "displayName": BOT, "webhooks": [webhook]})
        linked = board.member(BOT)
        assert board.switchboard_id
        place.set(SUNSHINE_SWITCHBOARD_INTEGRATION=None)
        assert (await place.setup(*ALL_OF_IT)).exit_code == 0  # the one that is linked
        board.default_id = board.member(WORKSPACE).id
        place.change(WORKSPACE, nextSwitchboardIntegrationId=None)
        board.delete_switchboard_integration(board.switchboard_id, linked.id, place.sandbox.clock.now())
        place.set(SUNSHINE_SWITCHBOARD_INTEGRATION=None)
        result = await place.setup(*ALL_OF_IT)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"several integrations post to {mine.target}")


async def test_the_environment_counts_for_more_and_that_is_said(place: Place) -> None:
    """What the file says would not hold."""
    await place.setup(*ALL_OF_IT)
    result = await place.setup(*ALL_OF_IT, SUNSHINE_WEBHOOK_SECRET="another")
    assert "SUNSHINE_WEBHOOK_SECRET has another value in the environment" in result.output
