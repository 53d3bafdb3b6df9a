"""`setup` against the sandbox over real HTTP: from an account that has never seen the bot to one that is all green."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fresh_account import ALL_OF_IT, Place, fresh, set_up
from tiers import some

from bot.account.requirements import TRIGGERS
from bot.sandbox import ANSWERS, BOT, WORKSPACE
from bot.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(params=some(["release", "pass"]))
def mode(request: pytest.FixtureRequest) -> str:
    """Both modes."""
    return str(request.param)


@pytest.fixture
async def place(tmp_path: Path, mode: str) -> AsyncIterator[Place]:
    """An account that has never seen the bot."""
    async with fresh(tmp_path, mode) as made:
        yield made


async def test_setup_then_doctor_is_all_green(tmp_path: Path, mode: str) -> None:
    """Nothing is wrong, and there is nothing to know."""
    async with set_up(tmp_path, mode) as place:
        result = await place.doctor()
        assert place.findings == []
        assert result.exit_code == 0


async def test_a_second_setup_changes_nothing(tmp_path: Path, mode: str) -> None:
    """No call that writes, and the file is the same byte for byte."""
    async with set_up(tmp_path, mode) as place:
        before = place.file.read_bytes()
        result = await place.setup(*ALL_OF_IT)
        assert result.exit_code == 0
        assert "Nothing to change." in result.output
        assert place.writes() == []
        assert place.file.read_bytes() == before


async def test_what_is_made(place: Place) -> None:
    """The integration, its webhook with its triggers, the link, the next ones, the key."""
    result = await place.setup(*ALL_OF_IT)
    board = place.sandbox.switchboard
    me, desk = board.member(BOT), board.member(WORKSPACE)
    (webhook,) = board.webhooks.values()
    assert result.exit_code == 0
    assert (webhook.integration_id, webhook.target) == (me.integration_id, f"{place.url}/webhooks/sunshine")
    assert set(webhook.triggers) == set(TRIGGERS)
    assert me.deliver_standby_events
    assert board.default_id == me.id
    if place.mode == "pass":
        assert (me.next_id, desk.next_id) == (desk.id, me.id)
    else:
        assert (me.next_id, desk.next_id) == (None, board.member(ANSWERS).id)
    settings = load_settings(_env_file=place.file)
    (key,) = place.sandbox.keys.of_integration(me.integration_id)
    assert (settings.sunshine_key_id, settings.sunshine_key_secret.get_secret_value()) == (key.id, key.secret)
    assert settings.sunshine_webhook_secret[0].get_secret_value() == webhook.secret
    assert settings.control_mode.value == place.mode


async def test_without_default_responder_nobody_is_displaced(place: Place) -> None:
    """Who answered first still does."""
    await place.setup("--yes")
    board = place.sandbox.switchboard
    assert board.default_id == board.member(ANSWERS).id


async def test_the_file_keeps_what_else_it_holds_and_is_for_its_owner_alone(place: Place) -> None:
    """Lines, comments, order; and nobody else reads the secrets."""
    before = place.file.read_text()
    place.file.chmod(0o644)
    await place.setup(*ALL_OF_IT)
    assert place.file.read_text().startswith(before)
    assert stat.S_IMODE(place.file.stat().st_mode) == 0o600


async def test_no_secret_is_shown(place: Place) -> None:
    """Neither at the first time nor when there is nothing to do."""
    shown = "".join([(await place.setup(*ALL_OF_IT)).output for _ in range(2)])
    settings = load_settings(_env_file=place.file)
    secrets = [settings.sunshine_key_secret, settings.sunshine_app_key_secret, *settings.sunshine_webhook_secret]
    assert all(secret.get_secret_value() not in shown for secret in secrets)


async def test_a_dry_run_changes_nothing(place: Place) -> None:
    """It shows the plan."""
    before = place.file.read_bytes()
    result = await place.setup(*ALL_OF_IT, "--dry-run")
    assert result.exit_code == 0
    assert f"create the custom integration {BOT}, with a webhook to {place.url}" in result.output.replace("\n", " ")
    assert "SUNSHINE_WEBHOOK_SECRET" in result.output
    assert place.writes() == []
    assert place.file.read_bytes() == before


async def test_nobody_else_s_choice_is_changed_without_asking(place: Place) -> None:
    """Without a person and without --yes it says what it would change, and changes nothing."""
    before = place.file.read_bytes()
    result = await place.setup("--default-responder")
    assert result.exit_code == 2
    assert "pass --yes to" in result.stderr
    assert f"(now: {ANSWERS})" in result.stderr
    assert place.writes() == []
    assert place.file.read_bytes() == before


@pytest.mark.parametrize("mode", ["pass"], indirect=True)
async def test_a_key_is_made_only_where_none_works(place: Place) -> None:
    """None with --no-integration-key; one that works stays; a wrong one is replaced."""
    await place.setup("--yes", "--no-integration-key")
    keys = place.sandbox.keys
    integration_id = place.sandbox.switchboard.member(BOT).integration_id
    assert keys.of_integration(integration_id) == []
    await place.setup("--yes")
    await place.setup("--yes")
    assert len(keys.of_integration(integration_id)) == 1
    place.set(SUNSHINE_KEY_SECRET="wrong")
    result = await place.setup("--yes")
    assert "the integration has older keys (int_" in result.output
    newest = keys.of_integration(integration_id)[-1]
    assert load_settings(_env_file=place.file).sunshine_key_id == newest.id


@pytest.mark.parametrize("mode", ["pass"], indirect=True)
async def test_a_key_that_the_platform_still_shows_is_used_again(place: Place) -> None:
    """A process that died between making and writing it leaves none behind, if lists show secrets."""
    place.sandbox.keys.secrets_listed = True
    await place.setup("--yes")
    place.set(SUNSHINE_KEY_ID=None, SUNSHINE_KEY_SECRET=None)
    await place.setup("--yes")
    assert len(place.sandbox.keys.of_integration(place.sandbox.switchboard.member(BOT).integration_id)) == 1


@pytest.mark.parametrize("mode", ["pass"], indirect=True)
async def test_the_app_key_can_stay_out_of_the_file(place: Place) -> None:
    """Least privilege, for who wants it."""
    await place.setup("--yes", "--no-keep-app-key")
    assert "SUNSHINE_APP_KEY" not in place.file.read_text()


async def test_what_is_missing_is_said_with_where_to_find_it(place: Place) -> None:
    """A line each, nothing else."""
    result = await place.run("setup")
    assert result.exit_code == 2
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == [
        "SUNSHINE_BASE_URL",
        "SUNSHINE_APP_ID",
        "SUNSHINE_APP_KEY_ID",
        "SUNSHINE_APP_KEY_SECRET",
        "CONTROL_MODE",
    ]


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"SUNSHINE_APP_KEY_SECRET": "wrong"}, "SUNSHINE_APP_KEY_ID, SUNSHINE_APP_KEY_SECRET: the platform rejects"),
        ({"SUNSHINE_APP_KEY_ID": "int_1"}, "SUNSHINE_APP_KEY_ID: must be an app-scoped key"),
        ({"SUNSHINE_APP_KEY_ID": "a:b"}, "SUNSHINE_APP_KEY_ID, SUNSHINE_APP_KEY_SECRET: an API key's id contains no"),
        ({"SUNSHINE_APP_ID": ".."}, "SUNSHINE_APP_ID: "),
        ({"SUNSHINE_APP_ID": "nothing"}, "SUNSHINE_APP_ID: the key can't see an app nothing"),
        ({"SUNSHINE_BASE_URL": "http://127.0.0.1:9"}, "SUNSHINE_BASE_URL: the account can't be read"),
        ({"SUNSHINE_BASE_URL": "http://example.com"}, "SUNSHINE_BASE_URL: the base URL"),
    ],
)
@pytest.mark.parametrize("mode", ["pass"], indirect=True)
async def test_what_it_can_t_begin_with(place: Place, environment: dict[str, str], says: str) -> None:
    """One line that says how to mend it, and nothing is written."""
    before = place.file.read_bytes()
    result = await place.setup(*ALL_OF_IT, **environment)
    assert result.exit_code == 2
    assert result.stderr.startswith(says)
    assert len(result.stderr.splitlines()) == 1
    assert place.writes() == []
    assert place.file.read_bytes() == before
