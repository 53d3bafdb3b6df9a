"""`setup --rotate`: webhook secret and key are changed while people talk; whenever it dies, nothing is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fresh_account import Place, set_up
from tiers import some
from typer.testing import Result

from bot.account import application, env_file
from bot.cli import setup_rotate as command
from bot.sandbox import BOT, Fault, deliveries
from bot.settings import Settings, load_settings
from bot.sunshine import SunshineClient

DONE = "The rotation is finished."
RESTART = "Now restart all processes of the bot"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine, and no waiting for what may be read late."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(application, "VERIFY_PAUSES", application.VERIFY_PAUSES[:1])


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """An account with the bot, which runs."""
    async with set_up(tmp_path, "pass", time_scale=0.01) as made:
        yield made


class Died(Exception):
    """The process is gone."""


class Talk:
    """People who write whenever something may have changed, and what the bot has stored of that.

    Attributes:
        said: the ids of all messages.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._loop = asyncio.get_running_loop()
        self.said: list[str] = []

    async def goes_on(self) -> None:
        """Somebody writes; it is delivered, or refused, before this returns."""
        self.said.append((await self._place.sandbox.visitor().says("hello")).id)
        await self._place.sandbox.sender.settled()

    def goes_on_meanwhile(self) -> None:
        """The same, from the thread of a command."""
        asyncio.run_coroutine_threadsafe(self.goes_on(), self._loop).result(60)

    @property
    def lost(self) -> list[str]:
        """What the bot has not stored, or has stored twice."""
        with closing(sqlite3.connect(self._place.file.parent / "bot.db")) as database:
            stored = [row[0] for row in database.execute("SELECT said_id FROM inbox")]
        return [one for one in self.said if stored.count(one) != 1]


@contextmanager
def noticed(monkeypatch: pytest.MonkeyPatch, point: Callable[[str], None]) -> Iterator[None]:
    """Before and after each call that changes something, and each writing, `point` is called with its name."""
    call, write = application._call, env_file.write_env
    make_key, delete_key = SunshineClient.create_integration_key, SunshineClient.delete_integration_key

    async def noticed_call(client: SunshineClient, step: Any) -> None:
        point(f"before {type(step).__name__}")
        await call(client, step)
        point(f"after {type(step).__name__}")

    def noticed_write(path: Path, values: Any) -> None:
        name = ", ".join(f"{name} {value.count(',') + 1}" for name, value in values.items())
        point(f"before {name} is written")
        write(path, values)
        point(f"after {name} is written")

    async def noticed_make(client: SunshineClient, *about: str) -> Any:
        point("before the key is made")
        made = await make_key(client, *about)
        point("after the key is made")
        return made

    async def noticed_delete(client: SunshineClient, *about: str) -> None:
        point("before a key is deleted")
        await delete_key(client, *about)
        point("after a key is deleted")

    with monkeypatch.context() as patch:
        patch.setattr(application, "_call", noticed_call)
        patch.setattr(command, "write_env", noticed_write)
        patch.setattr(SunshineClient, "create_integration_key", noticed_make)
        patch.setattr(SunshineClient, "delete_integration_key", noticed_delete)
        yield


async def rotate(place: Place, what: str, *options: str, **environment: str | None) -> Result:
    """`setup --rotate`."""
    return await place.run("setup", "--rotate", what, *options, **{**place.account, **environment})


def secrets(place: Place) -> list[str]:
    """The webhook secrets in the file."""
    return [one.get_secret_value() for one in load_settings(_env_file=place.file).sunshine_webhook_secret]


def keys(place: Place) -> list[str]:
    """The ids of the keys of the bot's integration."""
    return [key.id for key in place.sandbox.keys.of_integration(place.sandbox.switchboard.member(BOT).integration_id)]


def is_rotated(place: Place, old: str) -> bool:
    """One webhook, with a secret that is not the old one and is alone in the file; nothing else is left."""
    board = place.sandbox.switchboard
    custom = [one.id for one in board.integrations.values() if one.type == "custom"]
    posting = [one.integration_id for one in board.webhooks.values()]
    return (
        custom == posting == [board.member(BOT).integration_id]
        and secrets(place) == [one.secret for one in board.webhooks.values()] != [old]
        and not [one for one in board.members.values() if "relief" in one.name]
    )


class TestWebhook:
    """The webhook's secret."""

    async def test_no_delivery_is_lost(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """People write between any two calls; each run says what comes next; in the end the old secret is refused."""
        (old,) = secrets(place)
        talk = Talk(place)
        shown = []
        with noticed(monkeypatch, lambda _: talk.goes_on_meanwhile()):
            for _ in range(3):
                await talk.goes_on()
                shown.append(await rotate(place, "webhook"))
                await talk.goes_on()
                await place.restart()
        await talk.goes_on()
        assert [one.exit_code for one in shown] == [0, 0, 0]
        assert [RESTART in one.output for one in shown] == [True, True, False]
        assert [DONE in one.output for one in shown] == [False, False, True]
        assert is_rotated(place, old)
        assert len(talk.said) == 3 * 2 + 9 * 2 + 1
        assert talk.lost == []
        text = "".join(one.output for one in shown)
        assert not [secret for secret in (old, *secrets(place)) if secret in text]
        await place.doctor()
        assert place.findings == []

    async def test_nothing_happens_twice(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the platform numbers events anew for each webhook: users are answered once, and ends are proven."""
        numbered = deliveries.envelope

        def anew(app_id: str, webhook_id: str, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
            own = [{**event, "id": f"{event['id']}-{webhook_id}"} for event in events]
            return numbered(app_id, webhook_id, own)

        monkeypatch.setattr(deliveries, "envelope", anew)
        place.set(OPENING_FLOW="triage")
        await place.restart()
        await rotate(place, "webhook")
        await place.restart()
        visitors = [place.sandbox.visitor() for _ in range(3)]
        for visitor in visitors:
            await visitor.says("hello")
            await visitor.waits_for("What can I do for you?")
        await rotate(place, "webhook")
        await visitors[0].ends()
        await visitors[1].says("Track my order")
        await visitors[1].waits_for("What is your order number?")
        await place.restart()
        for visitor in visitors[1:]:
            await visitor.ends()
        for visitor in visitors:
            await visitor.waits_until_closed()
        await place.sandbox.sender.settled()
        assert [len([one for one in visitor.messages if one.actor.startswith("int_")]) for visitor in visitors] == [
            1,
            2,
            1,
        ]
        with closing(sqlite3.connect(place.file.parent / "bot.db")) as database:
            twice = "SELECT count(*) FROM inbox GROUP BY type, substr(id, 1, 24) HAVING count(*) > 1"
            assert database.execute(twice).fetchall()  # or this test would show nothing
            proven = "SELECT count(*) FROM conversations WHERE ended_at IS NOT NULL AND released_at IS NOT NULL"
            async with asyncio.timeout(60):
                while database.execute(proven).fetchone() != (len(visitors),):  # noqa: ASYNC110 - nobody tells it
                    await asyncio.sleep(0.1)

    async def test_it_dies_everywhere_once(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """One rotation that dies before and after each of its calls; the bot is restarted when a run asks for it."""
        (old,) = secrets(place)
        talk, seen = Talk(place), set[str]()

        def point(name: str) -> None:
            talk.goes_on_meanwhile()
            if name not in seen:
                seen.add(name)
                raise Died

        with noticed(monkeypatch, point):
            for _ in range(100):
                result = await rotate(place, "webhook")
                await talk.goes_on()
                if is_rotated(place, old):
                    break
                if isinstance(result.exception, Died):
                    continue
                assert RESTART in result.output or "restart all its processes" in result.output, result.output
                await place.restart()
        assert len(seen) == 9 * 2
        assert is_rotated(place, old)
        assert talk.lost == []

    @pytest.mark.parametrize("number", some(range(18), every=18))
    async def test_it_dies_once(self, place: Place, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        """Wherever that is, the next run goes on from there."""
        (old,) = secrets(place)
        talk, seen = Talk(place), list[str]()

        def point(name: str) -> None:
            talk.goes_on_meanwhile()
            seen.append(name)
            if len(seen) == number + 1:
                raise Died

        with noticed(monkeypatch, point):
            for _ in range(6):
                result = await rotate(place, "webhook")
                if is_rotated(place, old):
                    break
                if not isinstance(result.exception, Died):
                    await place.restart()
        assert is_rotated(place, old)
        assert talk.lost == []

    async def test_the_bot_was_not_restarted(self, place: Place) -> None:
        """It is asked whether it knows the second secret; nothing is changed before it does."""
        await rotate(place, "webhook")
        place.writes()
        again = await rotate(place, "webhook")
        assert again.exit_code == 1
        assert "restart all its processes" in again.stderr
        assert place.writes() == []

    async def test_the_bot_can_t_be_asked(self, place: Place) -> None:
        """Then a person has to say that it was restarted."""
        await rotate(place, "webhook")
        await place.stop()
        place.writes()
        asked = await rotate(place, "webhook")
        assert asked.exit_code == 2
        assert "pass --yes to confirm. Has every process of the bot been restarted" in asked.stderr
        assert place.writes() == []
        assert (await rotate(place, "webhook", "--yes")).exit_code == 0
        assert place.writes() == ["DeleteWebhook", "CreateWebhook"]

    async def test_doctor_and_setup_in_between(self, place: Place) -> None:
        """Doctor tells it; a plain setup neither ends nor disturbs it."""
        (old,) = secrets(place)
        await rotate(place, "webhook")
        await place.restart()
        result = await place.doctor()
        assert ("warn", "webhook_rotation") in place.findings
        assert result.exit_code == 0
        place.writes()
        assert (await place.setup("--yes")).exit_code == 0
        assert place.writes() == []
        for _ in range(2):
            assert (await rotate(place, "webhook")).exit_code == 0
            await place.restart()
        assert is_rotated(place, old)

    async def test_a_dry_run(self, place: Place) -> None:
        """It says the next step, and changes nothing."""
        before = place.file.read_bytes()
        result = await rotate(place, "webhook", "--dry-run")
        assert result.exit_code == 0
        assert f"Next: create the custom integration {BOT}-relief-" in result.output
        assert place.writes() == []
        assert place.file.read_bytes() == before

    async def test_the_environment_counts_for_more(self, place: Place) -> None:
        """What the file says then does not reach the bot, which is said."""
        (old,) = secrets(place)
        result = await rotate(place, "webhook", SUNSHINE_WEBHOOK_SECRET=old)
        assert "SUNSHINE_WEBHOOK_SECRET is also set in the environment" in result.output

    async def test_answers_get_lost(self, place: Place) -> None:
        """A change whose answer is lost is looked up."""
        (old,) = secrets(place)
        struck: set[str] = set()

        def faults(request: Any, _: Any) -> Fault | None:
            if request.method != "GET" and request.operation not in struck:
                struck.add(request.operation)
                return Fault(reset=True)
            return None

        place.sandbox.server.faults = faults
        for _ in range(12):
            result = await rotate(place, "webhook")
            assert result.exit_code in (0, 1), result.output
            assert "Traceback" not in result.output
            if DONE in result.output:
                break
            if RESTART in result.output:
                await place.restart()
        assert len(struck) == 6
        assert is_rotated(place, old)

    async def test_before_anything_is_set_up(self, place: Place) -> None:
        """It says what to do first."""
        place.set(SUNSHINE_SWITCHBOARD_INTEGRATION=None)
        result = await rotate(place, "webhook")
        assert result.exit_code == 2
        assert result.stderr == "SUNSHINE_SWITCHBOARD_INTEGRATION is not set: run `switchboard-bot setup` first\n"


class TestKey:
    """The bot's own key."""

    async def test_two_steps(self, place: Place) -> None:
        """A new key, tried and written; and after a restart the old one is deleted, once a person agrees."""
        (old,) = keys(place)
        first = await rotate(place, "key")
        assert (first.exit_code, RESTART in first.output) == (0, True)
        settings = load_settings(_env_file=place.file)
        assert keys(place) == [old, settings.sunshine_key_id]
        assert settings.sunshine_key_secret.get_secret_value() not in first.output
        await place.restart()
        await place.doctor()
        assert place.findings == [("warn", "key_rotation")]
        asked = await rotate(place, "key")
        assert asked.exit_code == 2
        assert "pass --yes to confirm. Has every process of the bot been restarted with the key" in asked.stderr
        second = await rotate(place, "key", "--yes")
        assert (second.exit_code, DONE in second.output) == (0, True)
        assert keys(place) == [settings.sunshine_key_id]
        await place.doctor()
        assert place.findings == []
        visitor = place.sandbox.visitor()
        await visitor.says("hello")
        await visitor.ends()
        await visitor.waits_until_closed(60)

    async def test_it_dies_everywhere_once(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """A key whose secret died with the process is deleted, once a person agrees; none is left over."""
        (old,) = keys(place)
        seen = set[str]()

        def point(name: str) -> None:
            if name not in seen:
                seen.add(name)
                raise Died

        with noticed(monkeypatch, point):
            for _ in range(30):
                result = await rotate(place, "key", "--yes")
                if old not in keys(place):
                    break
                assert isinstance(result.exception, Died) or RESTART in result.output, result.output
        (left,) = keys(place)
        assert load_settings(_env_file=place.file).sunshine_key_id == left
        assert len(seen) == 3 * 2

    async def test_an_unused_key_is_deleted_only_if_agreed(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another machine may use it."""

        def point(name: str) -> None:
            if name == "after the key is made":
                raise Died

        with noticed(monkeypatch, point):
            await rotate(place, "key")
        place.writes()
        asked = await rotate(place, "key")
        assert asked.exit_code == 2
        assert "was created to replace" in asked.stderr
        assert place.writes() == []
        await place.doctor()
        assert place.findings == [("warn", "key_rotation")]

    async def test_a_key_that_the_platform_still_shows_is_used(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where lists show secrets, a death costs no key."""
        place.sandbox.keys.secrets_listed = True

        def point(name: str) -> None:
            if name == "after the key is made":
                raise Died

        with noticed(monkeypatch, point):
            await rotate(place, "key")
        _, made = keys(place)
        assert RESTART in (await rotate(place, "key")).output
        assert load_settings(_env_file=place.file).sunshine_key_id == made

    async def test_the_environment_still_has_the_old_one(self, place: Place) -> None:
        """The old key is not deleted while the environment names it."""
        old = load_settings(_env_file=place.file)
        await rotate(place, "key")
        environment = {
            "SUNSHINE_KEY_ID": old.sunshine_key_id,
            "SUNSHINE_KEY_SECRET": old.sunshine_key_secret.get_secret_value(),
        }
        result = await rotate(place, "key", "--yes", **environment)
        assert result.exit_code == 2
        assert result.stderr.startswith("SUNSHINE_KEY_ID: the environment has a different key")
        assert len(keys(place)) == 2

    async def test_a_key_that_does_not_work(self, place: Place) -> None:
        """That is what setup is for."""
        place.set(SUNSHINE_KEY_SECRET="wrong")
        result = await rotate(place, "key")
        assert result.exit_code == 2
        assert "run `switchboard-bot setup`" in result.stderr
