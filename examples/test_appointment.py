"""The appointment flow: the bookings after each possible end."""

from datetime import UTC, datetime

import pytest
from appointment import Bookings, appointment

from bot.testing import ChatWith, Talk

NINE, TEN = (datetime(2030, 1, 7, hour, tzinfo=UTC) for hour in (9, 10))
NINE_SAID, TEN_SAID = "Monday 07 January, 09:00", "Monday 07 January, 10:00"


@pytest.fixture
def bookings() -> Bookings:
    """Two free times."""
    return Bookings([NINE, TEN])


@pytest.fixture
def talk(chat_with: ChatWith, bookings: Bookings) -> Talk:
    """A talk with the flow, which dies and goes on at every step."""
    return chat_with(
        appointment,
        resources={"bookings": bookings},
        mode="pass",
        deaths="everywhere",
    )


async def asked_to_confirm(talk: Talk) -> None:
    """Advance a talk to the last question."""
    await talk.user("I need an appointment")
    await talk.taps(NINE_SAID)
    await talk.user("555 0100")
    talk.expects("Which time", "Which phone number", f"{NINE_SAID}, and your number is 555 0100.")


async def test_a_booking_that_went_well_is_kept(talk: Talk, bookings: Bookings) -> None:
    await asked_to_confirm(talk)
    await talk.taps("Yes")
    talk.expects(f"It is booked: {NINE_SAID}.")
    await talk.wait(minutes=60)
    assert list(bookings.held.values()) == [NINE]
    assert list(bookings.phones.values()) == ["555 0100"]
    assert talk.released
    assert talk.ticket is None


async def test_who_says_no_has_booked_nothing(talk: Talk, bookings: Bookings) -> None:
    await asked_to_confirm(talk)
    await talk.user("no")
    talk.expects("Nothing is booked.")
    assert not bookings.held


async def test_who_goes_away_has_booked_nothing(talk: Talk, bookings: Bookings) -> None:
    await asked_to_confirm(talk)
    assert list(bookings.held.values()) == [NINE]
    await talk.wait(minutes=16)
    assert not bookings.held
    assert talk.released
    assert talk.ticket is None


async def test_who_ends_the_conversation_has_booked_nothing(talk: Talk, bookings: Bookings) -> None:
    await asked_to_confirm(talk)
    await talk.end()
    assert not bookings.held
    assert talk.released
    assert talk.ticket is None


async def test_an_agent_who_takes_over_finds_the_time_free(talk: Talk, bookings: Bookings) -> None:
    await asked_to_confirm(talk)
    await talk.agent("Let me help you")
    assert not bookings.held


async def test_a_booking_system_that_fails_leaves_nothing_behind(
    chat_with: ChatWith,
) -> None:
    class Broken(Bookings):
        async def confirm(self, reference: str, phone: str) -> None:
            """Book, but lose the answer."""
            await super().confirm(reference, phone)
            raise ConnectionError

    bookings = Broken([NINE, TEN])
    talk = chat_with(
        appointment,
        resources={"bookings": bookings},
        mode="pass",
        deaths="everywhere",
        may_fail=True,
    )
    await asked_to_confirm(talk)
    await talk.taps("Yes")
    talk.expects("Sorry, that did not work.")
    assert talk.ticket
    assert talk.ticket.tags == ("appointment_failed",)
    assert not bookings.held


async def test_a_time_that_is_taken_meanwhile(talk: Talk, bookings: Bookings) -> None:
    await talk.user("hi")
    await talk.user("at noon")
    bookings.held["somebody"] = NINE
    await talk.taps(NINE_SAID)
    await talk.taps(TEN_SAID)
    talk.expects(
        "Which time",
        "Please choose",
        "Which time",
        "Somebody was faster",
        "Which time",
        "Which phone number",
    )
    assert set(bookings.held.values()) == {NINE, TEN}


async def test_no_time_is_free(chat_with: ChatWith) -> None:
    talk = chat_with(
        appointment,
        resources={"bookings": Bookings([])},
        mode="pass",
        deaths="everywhere",
    )
    await talk.user("hi")
    talk.expects("There are no free times.")
    assert talk.ticket
    assert talk.ticket.tags == ("no_free_times",)
