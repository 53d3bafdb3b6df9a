"""The lead form: both languages, invalid input, back, cancel, and no answer."""

import pytest
from lead_form import Crm, Lead, lead_form

from bot import User
from bot.testing import ChatWith, Talk


@pytest.fixture
def crm() -> Crm:
    """A CRM without leads."""
    return Crm()


@pytest.fixture
def talk(chat_with: ChatWith, crm: Crm) -> Talk:
    """A talk with the flow, which dies and goes on at every step."""
    return chat_with(lead_form, resources={"crm": crm}, mode="pass", deaths="everywhere")


async def test_a_lead_is_saved(talk: Talk, crm: Crm) -> None:
    await talk.user("I would like an offer")
    await talk.user("Ada")
    await talk.user("ada@example.com")
    await talk.taps("11 to 100")
    await talk.taps("Yes")
    talk.expects(
        "Three short questions.",
        "your name?",
        "e-mail",
        "How many",
        "is that right?",
        "write to ada@example.com",
    )
    assert list(crm.leads.values()) == [Lead("Ada", "ada@example.com", "11 to 100", "en")]
    assert talk.released
    assert talk.ticket is None


async def test_it_speaks_the_language_of_the_user(chat_with: ChatWith, crm: Crm) -> None:
    talk = chat_with(
        lead_form,
        resources={"crm": crm},
        user=User(locale="de-AT"),
        mode="pass",
        deaths="everywhere",
    )
    await talk.user("Hallo")
    await talk.user("Ada")
    await talk.user("ada@example.com")
    await talk.taps("1 to 10")
    await talk.taps("Ja")
    talk.expects(
        "Drei kurze Fragen.",
        "Wie heißen Sie?",
        "E-Mail",
        "Wie viele",
        "Ist das richtig?",
        "Danke!",
    )
    assert [lead.language for lead in crm.leads.values()] == ["de"]


async def test_what_is_no_address_is_asked_for_again(talk: Talk) -> None:
    await talk.user("hi")
    await talk.user("Ada")
    await talk.user("ada at example")
    await talk.user(" ada@example.com ")
    talk.expects("Three", "name", "e-mail", "That is no e-mail address.", "How many")


async def test_back_asks_the_question_before(talk: Talk, crm: Crm) -> None:
    await talk.user("hi")
    await talk.user("back")  # at the first question: no effect
    await talk.user("Adda")
    await talk.user("Back")
    await talk.user("Ada")
    await talk.user("ada@example.com")
    await talk.user("11 to 100")
    await talk.user("back")
    await talk.user("1 to 10")
    await talk.user("yes")
    assert list(crm.leads.values()) == [Lead("Ada", "ada@example.com", "1 to 10", "en")]


async def test_a_no_at_the_end_begins_again(talk: Talk) -> None:
    await talk.user("hi")
    await talk.user("Ada")
    await talk.user("ada@example.com")
    await talk.taps("1 to 10")
    await talk.taps("No")
    talk.expects("Three", "name", "e-mail", "How many", "is that right?", "What is your name?")


async def test_cancel_keeps_nothing(talk: Talk, crm: Crm) -> None:
    await talk.user("hi")
    await talk.user("Ada")
    await talk.user("cancel")
    talk.expects("Three", "name", "e-mail", "Nothing was kept.")
    assert not crm.leads
    assert talk.released
    assert talk.ticket is None


async def test_a_user_who_goes_away_is_not_waited_for(talk: Talk) -> None:
    await talk.user("hi")
    await talk.wait(minutes=11)
    assert talk.released
    assert talk.ticket is None
