"""`doctor` against the sandbox over real HTTP: each single thing that is wrong is said, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from bot_program import free_port
from fresh_account import ALL_OF_IT, Place, fresh, set_up
from tiers import some

from bot.clock import Clock
from bot.sandbox import ANSWERS, BOT, WORKSPACE, Caller, Fault
from bot.sandbox.records import CUSTOM, Integration, Webhook
from bot.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is wrong.

    Attributes:
        breaks: makes it wrong.
        finding: level and name of the one finding.
        mode: the control mode in which it is.
        mended: does `setup` mend it?
        restart: does the bot have to be started anew after that, since its settings are others?
    """

    breaks: Callable[[Place], object]
    finding: tuple[str, str]
    mode: str = "pass"
    mended: bool = False
    restart: bool = False


def app_setting(name: str) -> Callable[[Place], object]:
    """One of the app's settings is off."""
    return lambda place: place.sandbox.switchboard.settings.update({name: False})


def setting(**values: str | None) -> Callable[[Place], object]:
    """Lines of the settings file are different."""
    return lambda place: place.set(**values)


def webhook(**changes: object) -> Callable[[Place], object]:
    """The webhook is different."""

    def change(place: Place) -> None:
        (found,) = place.sandbox.switchboard.webhooks.values()
        place.sandbox.switchboard.webhooks[found.id] = replace(found, **changes)  # type: ignore[arg-type]

    return change


def no_webhook(place: Place) -> None:
    """Somebody has deleted it."""
    place.sandbox.switchboard.webhooks.clear()


def linked_anew(place: Place) -> None:
    """Somebody has taken the bot off the switchboard."""
    board = place.sandbox.switchboard
    assert board.switchboard_id
    board.update_switchboard(board.switchboard_id, {"defaultSwitchboardIntegrationId": board.member(ANSWERS).id})
    for name in (WORKSPACE, ANSWERS):
        place.change(name, nextSwitchboardIntegrationId=None)
    board.delete_switchboard_integration(board.switchboard_id, board.member(BOT).id, place.sandbox.clock.now())


def by_integration_id(place: Place) -> None:
    """The id of the integration was taken for that of the switchboard integration."""
    place.set(SUNSHINE_SWITCHBOARD_INTEGRATION=place.sandbox.switchboard.member(BOT).integration_id)


def disabled(place: Place) -> None:
    """The switchboard is off."""
    place.sandbox.switchboard.enabled = False


def nobody_passes(place: Place) -> None:
    """Another one answers first."""
    board = place.sandbox.switchboard
    board.default_id = board.member(ANSWERS).id


def own_responder(place: Place) -> None:
    """The widget has a responder of its own."""
    board = place.sandbox.switchboard
    board.update_integration(board.channel_id, {"defaultResponderId": board.member(ANSWERS).id})


def no_widget(place: Place) -> None:
    """There is none any more."""
    del place.sandbox.switchboard.integrations[place.sandbox.switchboard.channel_id]


def social_channel(place: Place) -> None:
    """People also write by another way."""
    place.sandbox.switchboard.integrations["w"] = Integration("w", "whatsapp", "Shop")


def another_s_key(place: Place) -> None:
    """A key of another integration, which works."""
    board = place.sandbox.switchboard
    other = board.create_integration({"type": CUSTOM, "displayName": "other"})["integration"]["id"]
    key = place.sandbox.keys.for_integration(other)
    place.set(SUNSHINE_KEY_ID=key.id, SUNSHINE_KEY_SECRET=key.secret)


def app_key_alone(place: Place) -> None:
    """The app's key in the place of the integration's."""
    key = place.sandbox.app_key
    place.set(SUNSHINE_KEY_ID=key.id, SUNSHINE_KEY_SECRET=key.secret)


def integration_key_alone(place: Place) -> None:
    """The integration's key in the place of the app's."""
    (key,) = place.sandbox.keys.of_integration(place.sandbox.switchboard.member(BOT).integration_id)
    place.set(SUNSHINE_APP_KEY_ID=key.id, SUNSHINE_APP_KEY_SECRET=key.secret)


def posts_twice(place: Place) -> None:
    """Another integration posts to the bot, too."""
    (mine,) = place.sandbox.switchboard.webhooks.values()
    board = place.sandbox.switchboard
    other = board.create_integration({"type": CUSTOM, "displayName": "old bot"})["integration"]["id"]
    board.webhooks["again"] = Webhook("again", other, mine.target, mine.triggers, "other-secret")


def elsewhere(place: Place) -> None:
    """The webhook points to where nobody listens."""
    webhook(target=f"http://127.0.0.1:{free_port()}/webhooks/sunshine")(place)


def wrong_path(place: Place) -> None:
    """The webhook points to the bot's host, and not to its path."""
    webhook(target=f"{place.url}/webhook")(place)


class Late:
    """A clock that is behind."""

    def __init__(self, clock: Clock, by: timedelta) -> None:
        self._clock = clock
        self._by = by

    def now(self) -> datetime:
        """The time, less that."""
        return self._clock.now() - self._by


def late(**by: int) -> Callable[[Place], object]:
    """The platform's clock shows less than ours."""

    def change(place: Place) -> None:
        clock = Late(place.sandbox.clock, timedelta(**by))
        place.sandbox.server._clock = clock

    return change


def restarted_platform_side(place: Place) -> None:
    """The secret has changed in both account and file, and the bot still runs with the old one."""
    webhook(secret="the-new-webhook-secret")(place)
    place.set(SUNSHINE_WEBHOOK_SECRET="the-new-webhook-secret")


def workspace_gone(place: Place) -> None:
    """The agent workspace is not on the switchboard."""
    board = place.sandbox.switchboard
    place.change(BOT, nextSwitchboardIntegrationId=board.member(ANSWERS).id)
    del board.members[board.member(WORKSPACE).id]


CASES = {
    "an app id that is not there": Case(setting(SUNSHINE_APP_ID="nothing"), ("wrong", "app"), mended=True),
    "no app id": Case(setting(SUNSHINE_APP_ID=None), ("wrong", "settings"), mended=True),
    "a base URL where nobody answers": Case(
        lambda p: p.set(SUNSHINE_BASE_URL=f"http://127.0.0.1:{free_port()}"), ("wrong", "base_url"), mended=True
    ),
    "a base URL of something else": Case(lambda p: p.set(SUNSHINE_BASE_URL=p.url), ("wrong", "base_url"), mended=True),
    "a base URL without https": Case(
        setting(SUNSHINE_BASE_URL="http://acme.zendesk.com/sc"), ("wrong", "settings"), mended=True
    ),
    "a clock that is behind": Case(late(seconds=20), ("warn", "clock")),
    "a clock that is far behind": Case(late(hours=1), ("wrong", "clock")),
    "a wrong app key": Case(setting(SUNSHINE_APP_KEY_SECRET="wrong"), ("wrong", "app_key"), mended=True),
    "an integration's key for the app's": Case(integration_key_alone, ("wrong", "settings"), mended=True),
    "no app key": Case(
        setting(SUNSHINE_APP_KEY_ID=None, SUNSHINE_APP_KEY_SECRET=None), ("warn", "app_key"), mended=True
    ),
    "half an app key": Case(setting(SUNSHINE_APP_KEY_SECRET=None), ("wrong", "settings"), mended=True),
    "a wrong integration's key": Case(setting(SUNSHINE_KEY_SECRET="wrong"), ("wrong", "integration_key"), mended=True),
    "another integration's key": Case(another_s_key, ("wrong", "integration_key"), mended=True),
    "the app's key for the integration's": Case(app_key_alone, ("warn", "integration_key"), mended=True),
    "no integration's key": Case(
        setting(SUNSHINE_KEY_ID=None, SUNSHINE_KEY_SECRET=None), ("warn", "integration_key"), mended=True
    ),
    "one conversation a user": Case(app_setting("multiConvoEnabled"), ("wrong", "multi_conversations")),
    "users can't end": Case(app_setting("endSessionEnabled"), ("wrong", "end_session")),
    "users can reopen": Case(app_setting("disableConversationReopen"), ("wrong", "reopening")),
    "no web widget": Case(no_widget, ("wrong", "web_widget")),
    "another channel": Case(social_channel, ("warn", "other_channels")),
    "no control mode": Case(setting(CONTROL_MODE=None), ("wrong", "settings"), mended=True),
    "a switchboard that is off": Case(disabled, ("wrong", "switchboard"), mended=True),
    "not on the switchboard": Case(linked_anew, ("wrong", "switchboard_integration"), mended=True),
    "a name that is not there": Case(
        setting(SUNSHINE_SWITCHBOARD_INTEGRATION="my-bot"), ("wrong", "switchboard_integration"), mended=True
    ),
    "an integration's id for a switchboard integration's": Case(
        by_integration_id, ("wrong", "switchboard_integration"), mended=True
    ),
    "somebody else's switchboard integration": Case(
        setting(SUNSHINE_SWITCHBOARD_INTEGRATION=WORKSPACE), ("wrong", "switchboard_integration")
    ),
    "no standby events": Case(
        lambda p: p.change(BOT, deliverStandbyEvents=False), ("wrong", "standby_events"), mended=True
    ),
    "nobody passes to the bot": Case(nobody_passes, ("warn", "default_responder"), mode="release", mended=True),
    "a widget with another responder": Case(own_responder, ("warn", "default_responder")),
    "nobody after the bot": Case(
        lambda p: p.change(BOT, nextSwitchboardIntegrationId=None), ("warn", "next"), mended=True
    ),
    "the bot after the bot": Case(
        lambda p: p.change(BOT, nextSwitchboardIntegrationId=p.sandbox.switchboard.member(BOT).id),
        ("wrong", "next"),
        mode="release",
        mended=True,
    ),
    "another after the bot": Case(
        lambda p: p.change(BOT, nextSwitchboardIntegrationId=p.sandbox.switchboard.member(ANSWERS).id),
        ("warn", "next"),
        mended=True,
    ),
    "handing over to nobody": Case(setting(PASS_TO="desk"), ("wrong", "pass_to")),
    "handing over to the bot": Case(setting(PASS_TO=BOT), ("wrong", "pass_to")),
    "handing over to the next one, of whom there is none": Case(
        setting(PASS_TO="next"), ("wrong", "pass_to"), mode="release"
    ),
    "handback to another": Case(
        lambda p: p.change(WORKSPACE, nextSwitchboardIntegrationId=p.sandbox.switchboard.member(ANSWERS).id),
        ("wrong", "handback"),
        mended=True,
    ),
    "handback to nobody": Case(
        lambda p: p.change(WORKSPACE, nextSwitchboardIntegrationId=None), ("wrong", "handback"), mended=True
    ),
    "no webhook": Case(no_webhook, ("wrong", "webhook"), mended=True, restart=True),
    "two that post to the bot": Case(posts_twice, ("warn", "webhook")),
    "a webhook to where nobody listens": Case(elsewhere, ("wrong", "webhook_target"), mended=True),
    "a webhook to a wrong path": Case(wrong_path, ("wrong", "webhook_target"), mended=True),
    "missing triggers": Case(webhook(triggers=("conversation:message",)), ("wrong", "webhook_triggers"), mended=True),
    "a wrong webhook secret": Case(
        setting(SUNSHINE_WEBHOOK_SECRET="a-wrong-secret-" * 2), ("wrong", "webhook_secret"), mended=True
    ),
    "a webhook secret that the running bot does not know": Case(restarted_platform_side, ("wrong", "webhook_secret")),
    "no database": Case(setting(DATABASE_URL="sqlite:////nowhere/bot.db"), ("wrong", "database")),
    "no database's address": Case(setting(DATABASE_URL="mysql://x"), ("wrong", "database")),
    "flows that can't be imported": Case(setting(FLOWS="my_missing_flows"), ("wrong", "flows")),
    "a flow that is not there": Case(setting(OPENING_FLOW="hello"), ("wrong", "flows")),
    "a port that is none": Case(setting(PORT="http"), ("wrong", "settings")),
}


@pytest.mark.parametrize("name", some(CASES, every=14))
async def test_each_single_thing_is_said_and_mended(tmp_path: Path, name: str) -> None:
    """Exactly one finding, the exit code that goes with it; and after `setup`, where it can mend it, none."""
    case = CASES[name]
    async with set_up(tmp_path, case.mode) as place:
        case.breaks(place)
        result = await place.doctor()
        assert place.findings == [case.finding]
        assert result.exit_code == (1 if case.finding[0] == "wrong" else 0)
        place.writes()
        mended = await place.setup(*ALL_OF_IT)
        if case.restart:
            await place.restart()
        await place.doctor()
        assert (place.findings == []) == case.mended, mended.output
        if case.mended:
            place.writes()
            await place.setup(*ALL_OF_IT)
            assert place.writes() == []


async def test_several_things_at_once(tmp_path: Path) -> None:
    """Settings that can't be used do not keep it from looking at everything else."""
    async with set_up(tmp_path, "pass") as place:
        place.set(PORT="http", SUNSHINE_WEBHOOK_SECRET=None, FLOW_IDLE_TIMEOUT="soon", FLOWS="my_missing_flows")
        place.change(WORKSPACE, nextSwitchboardIntegrationId=None)
        result = await place.doctor()
        assert place.findings == [("wrong", "settings")] * 3 + [("wrong", "handback"), ("wrong", "flows")]
        assert result.exit_code == 1


async def test_nothing_is_set_up_yet(tmp_path: Path) -> None:
    """In an empty folder it says what to set, and does not stop at the first."""
    async with fresh(tmp_path, "pass") as place:
        place.file.write_text("")
        await place.doctor()
        assert set(place.findings) == {("wrong", "settings"), ("wrong", "database")}
        assert len(place.findings) == 7


async def test_without_an_app_key_the_webhook_is_still_checked(tmp_path: Path) -> None:
    """The integration's own key sees it."""
    async with set_up(tmp_path, "pass") as place:
        place.set(SUNSHINE_APP_KEY_ID=None, SUNSHINE_APP_KEY_SECRET=None)
        webhook(triggers=("conversation:message",))(place)
        await place.doctor()
        assert place.findings == [("warn", "app_key"), ("wrong", "webhook_triggers")]
        place.set(SUNSHINE_APP_ID="nothing")
        await place.doctor()
        assert place.findings == [("wrong", "app")]


async def test_a_bot_that_does_not_run(tmp_path: Path) -> None:
    """Nothing answers at the webhook's target."""
    async with set_up(tmp_path, "release") as place:
        await place.stop()
        await place.doctor()
        assert place.findings == [("wrong", "webhook_target")]


async def test_an_account_in_the_other_mode(tmp_path: Path) -> None:
    """No API shows it; but the bot notices, and `doctor` tells."""
    async with set_up(tmp_path, "pass") as place:
        place.sandbox.switchboard.switches = replace(place.sandbox.switches, mode="release")
        visitor, agent, now = place.sandbox.visitor(), place.sandbox.agent(), place.sandbox.clock.now()
        await visitor.says("hello")
        anybody = Caller("app_key", "app")
        place.sandbox.switchboard.pass_control(visitor.conversation_id, anybody, WORKSPACE, now, None)
        await agent.waits_for_ticket(visitor)
        await agent.closes()
        for _ in range(20):
            await place.doctor()
            if place.findings:
                break
        assert place.findings == [("warn", "control_mode")]


async def test_a_platform_that_fails(tmp_path: Path) -> None:
    """Both keys can't be tried; nothing is taken for wrong that was not seen."""
    async with set_up(tmp_path, "release") as place:
        place.sandbox.server.faults = lambda _, __: Fault(status=500)
        await place.doctor()
        assert place.findings == [("wrong", "app_key"), ("wrong", "integration_key")]


async def test_for_people_it_shows_a_line_each_and_what_to_do(tmp_path: Path) -> None:
    """No secret among them."""
    async with set_up(tmp_path, "pass") as place:
        place.change(WORKSPACE, nextSwitchboardIntegrationId=None)
        result = await place.run("doctor")
        assert "handback" in result.stdout
        assert "→ Run `switchboard-bot setup`." in result.stdout
        assert "1 error" in result.stdout
        settings = load_settings(_env_file=place.file)
        secrets = [settings.sunshine_key_secret, settings.sunshine_app_key_secret, *settings.sunshine_webhook_secret]
        shown = result.output + (await place.doctor()).output
        assert all(secret.get_secret_value() not in shown for secret in secrets)
