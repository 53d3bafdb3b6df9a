"""An account in which all is well, and the settings that go with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.account.facts import Facts, Platform, Target
from bot.account.reading import (
    AGENT_WORKSPACE,
    CUSTOM,
    WEB,
    Account,
    Board,
    Channel,
    CustomIntegration,
    Member,
    Webhook,
)
from bot.account.requirements import TRIGGERS
from bot.settings import ControlMode, Settings, load_settings

TARGET = "https://bot.example.com/webhooks/sunshine"
SECRET = "secret-of-the-webhook"

HOOK = Webhook("hook", TARGET, frozenset(TRIGGERS), SECRET)
MINE = CustomIntegration("mine", "switchboard-bot", (HOOK,))
OTHER = CustomIntegration("other", "other-bot", (replace(HOOK, id="hook-2", target="https://other.example.com/"),))
ME = Member("m-bot", "switchboard-bot", "mine", CUSTOM, hears_standby=True, next_id="m-desk")
DESK = Member("m-desk", "zd-agentWorkspace", "desk", AGENT_WORKSPACE, hears_standby=True, next_id="m-bot")
ANSWERS = Member("m-answers", "zd-answerBot", "answers", "zd:answerBot", hears_standby=True, next_id="m-desk")
WELL = Account(
    "app",
    {"multiConvoEnabled": True, "endSessionEnabled": True, "disableConversationReopen": True},
    (Channel("web", WEB, "Shop"),),
    (MINE,),
    Board("board", enabled=True, default_id="m-bot", members=(ME, DESK, ANSWERS)),
)
"""Pass control, and the bot answers first."""

EMPTY = replace(
    WELL, customs=(), board=Board("board", True, "m-answers", (replace(DESK, next_id="m-answers"), ANSWERS))
)
"""An account that has never seen the bot."""


def account(account_: Account = WELL, /, **members: dict[str, Any]) -> Account:
    """The account with changes of switchboard integrations: `me`, `desk`, `answers`, and `board` itself."""
    assert account_.board is not None
    ids = {"me": "m-bot", "desk": "m-desk", "answers": "m-answers"}
    changed = {ids[name]: changes for name, changes in members.items() if name in ids}
    all_of_them = tuple(replace(one, **changed.get(one.id, {})) for one in account_.board.members)
    return replace(account_, board=replace(account_.board, members=all_of_them, **members.get("board", {})))


def settings(**changes: Any) -> Settings:
    """Settings that fit the account."""
    fitting = {
        "sunshine_base_url": "https://acme.zendesk.com/sc",
        "sunshine_app_id": "app",
        "sunshine_key_id": "int_1",
        "sunshine_key_secret": "key-secret",
        "sunshine_app_key_id": "app_1",
        "sunshine_app_key_secret": "app-secret",
        "sunshine_switchboard_integration": "switchboard-bot",
        "sunshine_webhook_secret": SECRET,
        "control_mode": ControlMode.PASS,
    }
    return load_settings(_env_file=None, **{**fitting, **changes})


def facts(**changes: Any) -> Facts:
    """All is well, but for the changes."""
    known = {
        "settings": settings(),
        "webhook_path": "/webhooks/sunshine",
        "platform": Platform(clock_ahead=timedelta()),
        "account": WELL,
        "own": (HOOK,),
        "target": Target("", 200, 401, 200),
    }
    return Facts(**{**known, **changes})
