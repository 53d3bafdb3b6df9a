"""The planner: from a snapshot and desired to changes; and how a simulated account gets to where nothing is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2
import pytest
from account_samples import ANSWERS, DESK, EMPTY, HOOK, ME, MINE, OTHER, TARGET, WELL, account

from bot.account.plan import (
    Change,
    ChangeMember,
    ChangeSwitchboard,
    ChangeWebhook,
    DesiredSetup,
    MakeIntegration,
    MakeMember,
    MakeSwitchboard,
    MakeWebhook,
    NoPlanError,
    find_ours,
    plan,
)
from bot.account.reading import Account, Board, CustomIntegration, read_account
from bot.account.requirements import TRIGGERS
from bot.settings import ControlMode
from bot.sunshine import Credentials, SunshineClient

PASS = DesiredSetup(ControlMode.PASS, TARGET, default_responder=True)
RELEASE = DesiredSetup(ControlMode.RELEASE, TARGET, default_responder=True)


def only(changes: tuple[Change, ...]) -> Change:
    """The one change."""
    (change,) = changes
    return change


@pytest.mark.parametrize("desired", [PASS, RELEASE, replace(PASS, me="m-bot"), replace(PASS, target="", me=ME.name)])
def test_nothing_to_do(desired: DesiredSetup) -> None:
    """Where all is well: also for who is known by name or id, and in release mode whatever `next` says."""
    assert plan(WELL, desired) == ()


def test_an_account_that_has_never_seen_the_bot() -> None:
    """In an order in which each change can rest on those before it; only others' choices are marked."""
    changes = plan(EMPTY, PASS)
    assert [(type(change.step), change.touches_others) for change in changes] == [
        (MakeIntegration, False),
        (MakeMember, False),
        (ChangeMember, False),  # the workspace after the bot
        (ChangeMember, True),  # the bot after the workspace, in place of answerBot
        (ChangeSwitchboard, True),  # answers first, in place of answerBot
    ]
    assert isinstance(changes[0].step, MakeIntegration)
    assert changes[0].step.body == {
        "type": "custom",
        "displayName": "switchboard-bot",
        "webhooks": [{"target": TARGET, "triggers": list(TRIGGERS), "includeFullUser": True}],
    }


def test_release_mode_leaves_next_alone_and_nobody_is_displaced_unasked() -> None:
    """Only what the bot itself needs."""
    changes = plan(EMPTY, replace(RELEASE, default_responder=False))
    assert [type(change.step) for change in changes] == [MakeIntegration, MakeMember]


def test_an_app_without_a_switchboard() -> None:
    """One is made; nobody has chosen anything yet, so nothing of others is touched."""
    changes = plan(replace(EMPTY, board=None), replace(PASS, default_responder=False))
    assert [(type(change.step), change.touches_others) for change in changes] == [
        (MakeIntegration, False),
        (MakeSwitchboard, False),
        (MakeMember, False),
        (ChangeSwitchboard, False),
        (ChangeSwitchboard, False),
    ]


@pytest.mark.parametrize(
    ("broken", "step", "others"),
    [
        (account(me={"hears_standby": False}), ChangeMember("board", "m-bot", {"deliverStandbyEvents": True}), False),
        (
            account(me={"next_id": None}),
            ChangeMember("board", "m-bot", {"nextSwitchboardIntegrationId": "m-desk"}),
            False,
        ),
        (
            account(me={"next_id": "m-bot"}),
            ChangeMember("board", "m-bot", {"nextSwitchboardIntegrationId": "m-desk"}),
            False,
        ),
        (
            account(me={"next_id": "m-answers"}),
            ChangeMember("board", "m-bot", {"nextSwitchboardIntegrationId": "m-desk"}),
            True,
        ),
        (
            account(desk={"next_id": "m-answers"}),
            ChangeMember("board", "m-desk", {"nextSwitchboardIntegrationId": "m-bot"}),
            True,
        ),
        (
            account(desk={"next_id": None}),
            ChangeMember("board", "m-desk", {"nextSwitchboardIntegrationId": "m-bot"}),
            True,
        ),
        (account(board={"enabled": False}), ChangeSwitchboard("board", {"enabled": True}), True),
        (
            account(board={"default_id": "m-answers"}),
            ChangeSwitchboard("board", {"defaultSwitchboardIntegrationId": "m-bot"}),
            True,
        ),
        (
            account(board={"default_id": None}),
            ChangeSwitchboard("board", {"defaultSwitchboardIntegrationId": "m-bot"}),
            False,
        ),
        (
            replace(WELL, customs=(replace(MINE, webhooks=()),)),
            MakeWebhook("mine", {"target": TARGET, "triggers": list(TRIGGERS), "includeFullUser": True}),
            False,
        ),
    ],
)
def test_each_single_thing_is_mended(broken: Account, step: object, others: bool) -> None:
    """By exactly one change."""
    change = only(plan(broken, replace(PASS, me="switchboard-bot")))
    assert (change.step, change.touches_others) == (step, others)


def test_triggers_are_added_to_those_that_are_on() -> None:
    """A list of triggers replaces the old one, and what somebody has switched on stays on."""
    hook = replace(HOOK, triggers=frozenset({"user:update", "conversation:message"}))
    change = only(plan(replace(WELL, customs=(replace(MINE, webhooks=(hook,)),)), PASS))
    assert isinstance(change.step, ChangeWebhook)
    assert set(change.step.body["triggers"]) == {*TRIGGERS, "user:update"}
    assert len(change.step.body["triggers"]) == len(TRIGGERS) + 1


def test_a_webhook_is_moved_only_when_asked() -> None:
    """It may be the one that serves the customers at this moment."""
    desired = replace(PASS, me="switchboard-bot", target="https://new.example.com/webhooks/sunshine")
    change = only(plan(WELL, desired))
    assert change.touches_others
    assert isinstance(change.step, ChangeWebhook)
    assert change.step.body == {"target": desired.target}


def test_what_is_known_by_its_name_alone_may_be_somebody_else_s() -> None:
    """Whatever is changed about it is asked for."""
    mine = replace(MINE, webhooks=(replace(HOOK, target="https://old.example.com/", triggers=frozenset()),))
    changes = plan(account(replace(WELL, customs=(mine,)), me={"hears_standby": False}), PASS)
    assert len(changes) == 3
    assert all(change.touches_others for change in changes)


@pytest.mark.parametrize(
    ("customs", "desired", "found"),
    [
        ((OTHER, MINE), PASS, "mine"),
        ((OTHER, MINE), replace(PASS, me="switchboard-bot", target=OTHER.webhooks[0].target), "mine"),
        ((MINE, replace(MINE, id="twin")), PASS, "mine"),  # the linked one
        ((OTHER, replace(MINE, webhooks=())), PASS, "mine"),
        ((OTHER,), PASS, None),
    ],
)
def test_which_one_is_ours(customs: tuple[CustomIntegration, ...], desired: DesiredSetup, found: str | None) -> None:
    """By the settings, by the target, by the name."""
    ours = (
        find_ours(replace(WELL, customs=customs), desired)
        if found
        else find_ours(replace(EMPTY, customs=customs), desired)
    )
    assert (ours.integration.id if ours.integration else None) == found


def full() -> Board:
    """A switchboard without room."""
    return Board("board", True, "m-desk", tuple(replace(DESK, id=f"m{n}", name=f"n{n}") for n in range(10)))


@pytest.mark.parametrize(
    ("broken", "desired", "says"),
    [
        (EMPTY, replace(PASS, target=""), "--public-url: "),
        (replace(EMPTY, customs=tuple(replace(OTHER, id=str(n)) for n in range(10))), PASS, "has 10 webhooks"),
        (replace(EMPTY, board=full()), PASS, "has 10 switchboard integrations"),
        (replace(EMPTY, board=replace(full(), members=(replace(ANSWERS, name="switchboard-bot"),))), PASS, "--name"),
        (replace(EMPTY, customs=(MINE, replace(MINE, id="twin"))), PASS, r"several integrations post .* \(twin\)"),
        (
            replace(EMPTY, customs=(replace(MINE, webhooks=()), replace(MINE, id="twin", webhooks=()))),
            PASS,
            "several integrations are called",
        ),
        (WELL, replace(PASS, me="zd-answerBot"), "zd-answerBot has the type zd:answerBot"),
        (replace(WELL, customs=()), replace(PASS, me="switchboard-bot"), "is gone"),
    ],
)
def test_a_person_has_to_decide(broken: Account, desired: DesiredSetup, says: str) -> None:
    """It says what to do, and changes nothing."""
    with pytest.raises(NoPlanError, match=says):
        plan(broken, desired)


@pytest.mark.parametrize("name", ["", "no blanks", "ä", "x" * 101])
def test_names_that_the_platform_does_not_take(name: str) -> None:
    """They are refused before anything is made."""
    with pytest.raises(ValueError, match="is not a valid name"):
        replace(PASS, name=name)


def test_a_plan_has_no_sentence_twice() -> None:
    """What was agreed to is told by it."""
    sentences = [change.sentence for change in plan(replace(EMPTY, board=None), PASS)]
    assert len(sentences) == len(set(sentences))


async def test_a_bot_of_a_partner_is_no_channel() -> None:
    """What is on the switchboard is no place where people write."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        path = request.url.path.rpartition("/v2/apps/app")[2]
        return httpx2.Response(200, json=REPLIES[path])

    transport = httpx2.MockTransport(answer)
    async with SunshineClient("https://a.b/sc", "app", Credentials("app_1", "s"), transport=transport) as client:
        found = await read_account(client)
    assert [channel.type for channel in found.channels] == ["whatsapp"]
    assert found.board is not None
    assert [member.type for member in found.board.members] == ["partner"]


LINK = {"id": "m", "name": "partner", "integrationId": "p", "integrationType": "partner", "deliverStandbyEvents": True}
REPLIES: dict[str, Any] = {
    "": {"app": {"id": "app"}},
    "/integrations": {"integrations": [{"id": "p", "type": "partner"}, {"id": "w", "type": "whatsapp"}]},
    "/switchboards": {"switchboards": [{"id": "b", "enabled": True}]},
    "/switchboards/b/switchboardIntegrations": {"switchboardIntegrations": [LINK]},
}


def test_a_secret_shows_nowhere() -> None:
    """Not in what is printed of a snapshot by accident either."""
    shown: Any = (WELL, plan(EMPTY, PASS))
    assert HOOK.secret not in repr(shown)
