"""The checks: from facts to findings. (What the sandbox can show is in the tests of `doctor`.)"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from account_samples import HOOK, MINE, OTHER, WELL, account, facts, settings

from bot.account.checks import SECTIONS, check
from bot.account.checks_webhook import is_hidden
from bot.account.facts import Facts, Platform, Target
from bot.account.findings import Finding, Severity
from bot.account.reading import Channel
from bot.sunshine import Gone, NoAnswer, NotOurs, Unauthorized
from bot.troubles import What


def found(known: Facts) -> list[Finding]:
    """All findings."""
    return [finding for section in check(known).values() for finding in section]


def not_ok(known: Facts) -> list[tuple[str, str]]:
    """Severity and name of those that are not ok."""
    return [(one.level.value, one.name) for one in found(known) if one.level is not Severity.OK]


def test_all_is_well() -> None:
    """A line for each requirement, and none twice."""
    findings = found(facts())
    assert all(finding.level is Severity.OK and not finding.todo for finding in findings)
    names = [finding.name for finding in findings]
    assert len(names) == len(set(names)) == 25
    assert len(SECTIONS) == 5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"platform": Platform(clock_ahead=timedelta(seconds=4))}, []),
        ({"platform": Platform(clock_ahead=timedelta(seconds=-6))}, [("warn", "clock")]),
        ({"platform": Platform(clock_ahead=timedelta(minutes=2))}, [("wrong", "clock")]),
        ({"platform": Platform("no answer"), "account": None, "own": None, "target": None}, [("wrong", "base_url")]),
        ({"account": NotOurs("get_app")}, [("wrong", "app_key")]),
        ({"account": Unauthorized("get_app")}, [("wrong", "app_key")]),
        ({"account": Gone("get_app"), "own": Gone("list_webhooks"), "target": None}, [("wrong", "app")]),
        ({"account": NoAnswer("get_app")}, [("wrong", "app_key")]),
        ({"own": NoAnswer("list_webhooks")}, [("wrong", "integration_key")]),
        ({"own": Gone("list_webhooks")}, []),  # `me` may mean nothing to the platform
        (
            {
                "account": WELL,
                "settings": settings(sunshine_webhook_secret="the-secret-before-it,secret-of-the-webhook"),
            },
            [],
        ),
        ({"target": Target(problem="refused")}, [("wrong", "webhook_target")]),
        ({"target": Target("", 404, 404, None)}, [("wrong", "webhook_target")]),
        ({"target": Target("", 200, 401, 503)}, [("wrong", "webhook_target")]),
        ({"target": Target("", 200, 401, 401)}, [("wrong", "webhook_secret")]),
        ({"target": Target("", 200, 401, None)}, []),  # plain http: the secret was not sent
        ({"target": Target("", 200, 200, None)}, [("wrong", "webhook_target")]),  # it takes anybody's word
        ({"mismatched": (datetime(2026, 3, 1, tzinfo=UTC),)}, [("warn", "control_mode")]),
        (
            {"account": replace(WELL, customs=(replace(MINE, webhooks=(replace(HOOK, secret=""),)),))},
            [("warn", "webhook_secret")],
        ),
        ({"database": "the database is at schema 1: run `x`"}, [("wrong", "database")]),
        ({"troubles": ()}, []),
        ({"troubles": (What.API, What.RATE_LIMIT)}, [("warn", "running_bot")]),
        ({"troubles": (What.API, What.KEY)}, [("wrong", "running_bot")]),
        ({"flows": "FLOWS: no"}, [("wrong", "flows")]),
        ({"opens": False}, [("warn", "flows")]),
        ({"waiting": 7}, []),
        ({"waiting": 7, "unfit": ("c1: there is no flow 'order' any more",)}, [("warn", "waiting_flows")]),
        ({"has_lifespan": True}, []),
        ({"flows": "FLOWS: no", "opens": False}, [("wrong", "flows")]),
        ({"account": replace(WELL, board=None), "target": None}, [("wrong", "switchboard")]),
        ({"account": replace(WELL, customs=(OTHER,)), "target": None}, [("wrong", "switchboard_integration")]),
        (
            {"account": replace(WELL, settings={})},
            [("wrong", "multi_conversations"), ("wrong", "end_session"), ("wrong", "reopening")],
        ),
        (
            {"account": replace(WELL, customs=(MINE, replace(MINE, id="twin", webhooks=(replace(HOOK, id="2"),))))},
            [("warn", "webhook")],
        ),
        ({"account": account(desk={"type": "zd:other"})}, [("warn", "next")]),
        ({"settings": settings(pass_to="zd:agentWorkspace")}, []),
        ({"settings": settings(pass_to="next")}, []),
        (
            {"account": None, "settings": settings(sunshine_app_key_id="", sunshine_app_key_secret="")},
            [("warn", "app_key")],
        ),
        (
            {
                "account": None,
                "own": (),
                "target": None,
                "settings": settings(sunshine_app_key_id="", sunshine_app_key_secret=""),
            },
            [("warn", "app_key"), ("wrong", "webhook")],
        ),
    ],
)
def test_each_fact_has_its_finding(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """And no other."""
    assert not_ok(facts(**changes)) == expected


@pytest.mark.parametrize(
    ("mode", "what"), [("release", "released at once"), ("pass", "passed to zd-agentWorkspace at once")]
)
def test_without_an_opening_flow_it_is_said_what_happens(mode: str, what: str) -> None:
    """In one line."""
    (finding,) = [one for one in found(facts(settings=settings(control_mode=mode), opens=False)) if one.name == "flows"]
    assert what in finding.what
    assert "OPENING_FLOW" in finding.todo


def test_what_is_not_ok_says_what_to_do() -> None:
    """Each."""
    broken = account(
        replace(WELL, settings={}, channels=(Channel("w", "whatsapp", ""),)),
        me={"hears_standby": False, "next_id": None},
        desk={"next_id": None},
    )
    findings = found(
        facts(account=broken, target=Target(problem="x"), flows="x", database="x", problems={"port": "PORT: x"})
    )
    assert sum(finding.level is not Severity.OK for finding in findings) == 12
    assert all(bool(finding.todo) == (finding.level is not Severity.OK) for finding in findings)


def test_another_responder_that_leads_to_the_bot() -> None:
    """Who answers first may pass on to the bot, and a channel may have the bot as its own."""
    first = {"default_id": "m-answers"}
    assert not_ok(facts(account=account(answers={"next_id": "m-bot"}, board=first))) == []
    channel = Channel("web", "web", "Shop", responder="switchboard-bot")
    nobody = account(replace(WELL, channels=(channel,)), desk={"next_id": None}, board=first)
    release = settings(control_mode="release")
    assert not_ok(facts(account=nobody, settings=release)) == []
    assert not_ok(facts(account=replace(nobody, channels=WELL.channels), settings=release)) == [
        ("warn", "default_responder")
    ]


@pytest.mark.parametrize(
    ("target", "base_url", "hidden"),
    [
        ("https://bot.example.com/x", "https://acme.zendesk.com/sc", False),
        ("http://localhost:8080/x", "https://acme.zendesk.com/sc", True),
        ("http://192.168.1.4/x", "https://acme.zendesk.com/sc", True),
        ("http://bot.local/x", "https://acme.zendesk.com/sc", True),
        ("http://8.8.8.8/x", "https://acme.zendesk.com/sc", False),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:9/sc", False),
    ],
)
def test_where_the_platform_can_reach(target: str, base_url: str, hidden: bool) -> None:
    """Not this machine, nor its network; but a sandbox on this machine can."""
    assert is_hidden(target, base_url) == hidden


def test_a_target_that_is_hidden() -> None:
    """It is said without being asked."""
    hook = replace(HOOK, target="http://localhost:8080/webhooks/sunshine")
    known = facts(account=replace(WELL, customs=(replace(MINE, webhooks=(hook,)),)), target=None)
    assert not_ok(known) == [("wrong", "webhook_target")]
