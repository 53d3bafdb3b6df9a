"""Rotating the webhook's secret: from each state of an account to the next step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from account_samples import ANSWERS, DESK, HOOK, ME, MINE, OTHER, SECRET, TARGET, WELL, facts, settings

from bot.account.checks import check
from bot.account.own_key import name_in_place_of, standing
from bot.account.plan import (
    Change,
    DeleteIntegration,
    DeleteMember,
    DeleteWebhook,
    DesiredSetup,
    MakeIntegration,
    MakeMember,
    MakeWebhook,
    NoPlanError,
    find_ours,
    is_relief,
    plan,
)
from bot.account.reading import CUSTOM, Account, CustomIntegration, Member
from bot.account.requirements import TRIGGERS
from bot.account.rotation import Ask, Remember, next_step
from bot.settings import ControlMode

WISHES = DesiredSetup(ControlMode.PASS, me="switchboard-bot")
SPARE = replace(HOOK, id="spare", secret="secret-of-the-relief")
NEW = replace(HOOK, id="new-hook", secret="new-secret-of-the-webhook")


def step_of(account_: Account, *known: str) -> Change | Remember | Ask:
    return next_step(account_, find_ours(account_, WISHES), known)


def relief_name() -> str:
    """What the relief for `HOOK` is called."""
    begun = step_of(WELL, SECRET)
    assert isinstance(begun, Change)
    assert isinstance(begun.step, MakeIntegration)
    return str(begun.step.body["displayName"])


RELIEF = CustomIntegration("relief", relief_name(), (SPARE,))
assert WELL.board
BOARD = WELL.board
STANDING_BY = Member("m-relief", RELIEF.name, "relief", CUSTOM, hears_standby=True, next_id=None)


def during(*hooks: object, linked: bool = True) -> Account:
    """The account while the secret is rotated: with these webhooks of the bot's integration."""
    members = (ME, DESK, ANSWERS, *((STANDING_BY,) if linked else ()))
    mine = replace(MINE, webhooks=hooks)  # type: ignore[arg-type]
    return replace(WELL, customs=(mine, RELIEF), board=replace(BOARD, members=members))


AFTER = replace(WELL, customs=(replace(MINE, webhooks=(NEW,)),))


def test_the_relief_hears_and_posts_the_same() -> None:
    begun = step_of(replace(WELL, customs=(replace(MINE, webhooks=(replace(HOOK, full_user=True),)),)), SECRET)
    assert isinstance(begun, Change)
    assert isinstance(begun.step, MakeIntegration)
    (webhook,) = begun.step.body["webhooks"]
    assert webhook == {"target": TARGET, "triggers": list(TRIGGERS), "includeFullUser": True}
    assert is_relief(RELIEF)


@pytest.mark.parametrize(
    ("account_", "known", "step"),
    [
        (
            during(HOOK, linked=False),
            [SECRET],
            MakeMember("board", {"name": RELIEF.name, "integrationId": "relief", "deliverStandbyEvents": True}),
        ),
        (during(HOOK), [SECRET], Remember((SECRET, SPARE.secret))),
        (during(HOOK), [SECRET, SPARE.secret], Ask(SPARE, DeleteWebhook("mine", "hook"))),  # type: ignore[arg-type]
        (
            during(),
            [SECRET, SPARE.secret],
            MakeWebhook("mine", {"target": TARGET, "triggers": list(TRIGGERS)}),
        ),
        (during(NEW), [SECRET, SPARE.secret], Remember((NEW.secret, SECRET, SPARE.secret))),
        (during(NEW), [NEW.secret, SECRET, SPARE.secret], Ask(NEW, DeleteMember("board", "m-relief"))),  # type: ignore[arg-type]
        (during(NEW, linked=False), [NEW.secret, SECRET, SPARE.secret], Ask(NEW, DeleteIntegration("relief"))),  # type: ignore[arg-type]
        (AFTER, [NEW.secret, SECRET, SPARE.secret], Ask(NEW, Remember((NEW.secret,)))),
    ],
)
def test_each_step(account_: Account, known: list[str], step: object) -> None:
    """Every state in which a run may have died leads on."""
    found = step_of(account_, *known)
    match found:
        case Ask(webhook, Change(_, then)):
            assert Ask(webhook, then) == step  # type: ignore[arg-type]
        case Change(_, then):
            assert then == step
        case _:
            assert found == step


@pytest.mark.parametrize(
    ("account_", "known", "says"),
    [
        (replace(WELL, customs=()), SECRET, "is gone"),
        (replace(WELL, customs=(replace(MINE, webhooks=()),)), SECRET, "has no webhook"),
        (WELL, "another secret of a webhook", "differs from the webhook's"),
        (replace(WELL, customs=(replace(MINE, webhooks=(replace(HOOK, secret=""),)),)), SECRET, "by hand"),
        (replace(WELL, customs=(MINE, *[OTHER] * 9)), SECRET, "needs one more"),
        (replace(WELL, board=replace(BOARD, members=(ME, *[DESK] * 9))), SECRET, "needs one more"),
        (
            replace(during(HOOK), customs=(MINE, RELIEF, replace(RELIEF, name=f"{RELIEF.name[:-8]}01234567"))),
            SECRET,
            "more than once",
        ),
        (replace(during(HOOK), customs=(MINE, replace(RELIEF, webhooks=()))), SECRET, "lost its webhook"),
    ],
)
def test_what_a_person_has_to_do_first(account_: Account, known: str, says: str) -> None:
    with pytest.raises(NoPlanError, match=says):
        step_of(account_, known)


def test_setup_leaves_the_relief_alone() -> None:
    """Though it posts to the bot's target, too: the bot's own integration is still known by it."""
    desired = DesiredSetup(ControlMode.PASS, TARGET)
    assert find_ours(during(HOOK), desired).integration == MINE
    assert plan(during(HOOK), desired) == ()


def found(**changes: object) -> dict[str, tuple[str, str]]:
    sections = check(facts(**changes))
    return {one.name: (one.level.value, one.todo) for part in sections.values() for one in part}


def test_doctor_tells_a_rotation_of_the_webhook() -> None:
    """One that was begun; and one that stopped where no webhook of the bot's is left."""
    assert "webhook_rotation" not in found()
    begun = found(account=during(HOOK))
    assert begun["webhook_rotation"][0] == "warn"
    assert "setup --rotate webhook" in begun["webhook_rotation"][1]
    assert begun["webhook"][0] == "ok"
    stopped = found(account=during(), own=())
    assert stopped["webhook_rotation"][0] == "wrong"
    assert "webhook" not in stopped


def test_doctor_tells_a_rotation_of_the_key() -> None:
    old, new = (
        {"id": "int_1", "displayName": "switchboard-bot"},
        {"id": "int_2", "displayName": name_in_place_of("int_1")},
    )
    assert "key_rotation" not in found(keys=(old,))
    assert "setup --rotate key" in found(keys=(old, new))["key_rotation"][1]
    assert found(keys=(old, new), settings=settings(sunshine_key_id="int_2"))["key_rotation"][0] == "warn"
    assert "key_rotation" not in found(keys=(new,), settings=settings(sunshine_key_id="int_2"))


def test_how_far_a_key_has_come() -> None:
    """Keys of other names, and those that were in place of keys that are gone, are nobody's rotation."""
    keys: list[dict[str, Any]] = [
        {"id": "int_0", "displayName": "switchboard-bot"},
        {"id": "int_1", "displayName": name_in_place_of("gone")},
        {"id": "int_2", "displayName": name_in_place_of("int_1"), "secret": "shown"},
        {"id": "int_3", "displayName": None},
    ]
    assert (standing(keys, "int_1").old, standing(keys, "int_1").unused) == ("", {"int_2": "shown"})
    assert (standing(keys, "int_2").old, standing(keys, "int_2").unused) == ("int_1", {})
    assert (standing(keys, "int_0").old, standing(keys, "elsewhere").unused) == ("", {})
