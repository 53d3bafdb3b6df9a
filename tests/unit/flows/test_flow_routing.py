"""Which flow begins: by the settings, or by the team's router."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from bot import Began, Chat, Flow, Purpose, Router, flow, router
from bot.flows.catalogue import Catalogue, UnknownFlow, load_catalogue
from bot.flows.survey import survey
from bot.flows.triage import triage
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.testing.talk import Mode
from bot.testing.talks import ChatWith

in_both_modes = pytest.mark.parametrize("mode", ["release", "pass"])


@flow("tells")
async def tells(chat: Chat) -> None:
    """Tells what began it."""
    began = chat.opening
    await chat.say(f"{began.kind} {began.text!r} {began.payload} {began.referral} {chat.user.id is not None}")
    await chat.ask("?")


@router
def by_kind(began: Began, purpose: Purpose) -> Flow | str | None:
    """A team's router: a flow, a name, or none."""
    if purpose == "closing":
        return survey if began.reason == "ticketClosed" else None
    match began.kind:
        case "message" if began.text == "broken":
            raise RuntimeError("broken")
        case "message" if began.text == "exits":
            sys.exit("no config")
        case "message" if began.text == "cancelled":
            raise asyncio.CancelledError
        case "message" if began.text == "unknown":
            return "nowhere"
        case "message" if began.text == "nobody":
            return None
        case "message":
            return "triage"
        case _:
            return tells


@router(greets=True)
def greets(began: Began, purpose: Purpose) -> Flow | None:
    """Greets who has opened the widget, but not those who come by chat of their own."""
    return tells if began.kind == "created" else triage


@router(greets=True)
def is_silent(_: Began, __: Purpose) -> None:
    """Wants to know, and does nothing."""


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """A module of the team."""
    made = ModuleType("routed_flows_of_a_test")
    made.triage, made.by_kind = triage, by_kind  # type: ignore[attr-defined]
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def test_a_router_is_found_in_the_modules(module: ModuleType) -> None:
    """And takes the place of both settings."""
    catalogue = load_catalogue([module.__name__, "bot.flows.survey"], "triage", "")
    assert catalogue.router is by_kind
    assert (catalogue.opens, catalogue.closes, catalogue.greets) == (True, True, False)
    assert catalogue.route(Purpose.OPENING, Began("message", "hi")) is triage
    assert catalogue.route(Purpose.CLOSING, Began("handback", reason="ticketClosed")) is survey
    assert catalogue.route(Purpose.CLOSING, Began("ended")) is None


def test_without_a_router_the_settings_choose() -> None:
    """As ever."""
    catalogue = load_catalogue(["bot.flows.triage", "bot.flows.survey"], "triage", "")
    assert catalogue.router is None
    assert (catalogue.opens, catalogue.closes, catalogue.greets) == (True, False, False)


def test_the_same_router_in_two_modules_is_one(module: ModuleType) -> None:
    """A module may import it from another."""
    module.again = by_kind  # type: ignore[attr-defined]
    assert load_catalogue([module.__name__, module.__name__]).router is by_kind


def test_two_routers_are_refused(module: ModuleType) -> None:
    """It could be either."""
    module.second = greets  # type: ignore[attr-defined]
    with pytest.raises(UnknownFlow, match="more than one router, in 'routed_flows_of_a_test'"):
        load_catalogue([module.__name__])


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ("nowhere", "the router: no flow has the name that it returned; known flows: triage"),
        (survey, "the router: there is no flow 'survey'; known flows: triage"),
        (Flow("triage", survey.function), "FLOWS holds a different flow named 'triage'"),
    ],
)
def test_a_flow_that_is_not_in_the_modules_is_refused(chosen: Flow | str, words: str) -> None:
    """Its next turn would not find it."""
    catalogue = Catalogue({"triage": triage}, router=Router(lambda *_: chosen))
    with pytest.raises(UnknownFlow, match=words):
        catalogue.route(Purpose.OPENING, Began("message"))


@in_both_modes
async def test_words_a_tap_and_a_link_begin_what_the_router_chooses(chat_with: ChatWith, mode: Mode) -> None:
    """With all that is known of them."""
    talk = chat_with(by_kind, flows=[triage, survey, tells], mode=mode)
    await talk.user("hi")
    talk.expects("What can I do for you?")
    talk = chat_with(by_kind, flows=[triage, survey, tells], mode=mode)
    await talk.comes_by("summer")
    talk.expects("referral '' None summer True")


@in_both_modes
async def test_a_router_chooses_the_closing_flow_as_well(chat_with: ChatWith, mode: Mode) -> None:
    """Or none: then control is released at once."""
    talk = chat_with(by_kind, flows=[triage, survey, tells], mode="pass")
    await talk.user("hi")
    await talk.taps("Talk to a person")
    await talk.agent_closes()
    talk.expects("How did we do?")
    talk = chat_with(by_kind, flows=[triage, survey, tells], mode=mode)
    await talk.user("hi")
    await talk.end()
    assert talk.released
    assert talk.holder is None
    assert talk.said[1:] == []


@in_both_modes
async def test_no_flow_means_that_control_is_given_up(chat_with: ChatWith, mode: Mode) -> None:
    """As the mode wants it: in pass mode an agent has the user now."""
    talk = chat_with(by_kind, flows=[triage, survey, tells], mode=mode)
    await talk.user("nobody")
    assert talk.released
    assert (talk.said, talk.holder) == ([], None if mode == "release" else WORKSPACE)


@in_both_modes
@pytest.mark.parametrize(
    ("word", "failure"),
    [
        ("broken", "the router: RuntimeError at "),
        ("exits", "the router: SystemExit at "),
        ("cancelled", "the router: CancelledError at "),
        ("unknown", "no flow has the name that it returned; known flows: survey, tells, triage"),
    ],
)
async def test_a_router_that_fails_gives_control_up(chat_with: ChatWith, mode: Mode, word: str, failure: str) -> None:
    """Like a flow that fails."""
    talk = chat_with(by_kind, flows=[triage, survey, tells], mode=mode, may_fail=True)
    await talk.user(word)
    assert talk.released
    assert failure in talk.failures[0]


@in_both_modes
async def test_an_opened_widget_is_no_contact_by_default(chat_with: ChatWith, mode: Mode) -> None:
    """Nothing is said, and nothing passed on; what the user writes later begins the flow."""
    talk = chat_with(triage, mode=mode)
    await talk.opens()
    await talk.wait(minutes=1)
    assert (talk.said, talk.holder) == ([], BOT)
    await talk.user("hi")
    talk.expects("What can I do")
    talk = chat_with(by_kind, flows=[triage, survey, tells], mode=mode)
    await talk.opens()
    await talk.wait(minutes=20)
    assert (talk.said, talk.holder) == ([], None)


@in_both_modes
async def test_a_router_may_greet(chat_with: ChatWith, mode: Mode) -> None:
    """The user's first words answer its question."""
    talk = chat_with(greets, flows=[triage, tells], mode=mode)
    await talk.opens()
    talk.expects("created '' None None True", "?")
    assert talk.holder == BOT
    await talk.user("hi")
    assert talk.released
    assert talk.holder == (None if mode == "release" else WORKSPACE)


@in_both_modes
async def test_a_greeting_that_nobody_answers_makes_no_ticket(chat_with: ChatWith, mode: Mode) -> None:
    """Control is released in both modes."""
    talk = chat_with(greets, flows=[triage, tells], mode=mode, may_fail=True)
    await talk.opens()
    await talk.wait(minutes=20)
    assert talk.released
    assert talk.holder is None


@in_both_modes
async def test_a_router_may_know_of_the_widget_and_do_nothing(chat_with: ChatWith, mode: Mode) -> None:
    """That makes no ticket either."""
    talk = chat_with(is_silent, mode=mode)
    await talk.opens()
    assert talk.released
    assert (talk.said, talk.holder) == ([], None)
