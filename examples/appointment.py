"""Appointment: a time is held while the user decides, and given back unless the flow comes to a good end."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bot import CallFailed, Chat, Choice, NoAnswer, flow, lifespan, on_error

SLOTS_SHOWN = 5
YES, NO = Choice("Yes", "yes"), Choice("No", "no")


class SlotTaken(Exception):
    """Somebody else was faster."""


class Bookings:
    """Stands for your booking system. A reference is the flow's own name for a booking."""

    def __init__(self, slots: list[datetime]) -> None:
        self.slots = slots
        self.held: dict[str, datetime] = {}
        self.phones: dict[str, str] = {}

    async def free(self) -> list[datetime]:
        """Return the times that are free."""
        return [slot for slot in self.slots if slot not in self.held.values()]

    async def hold(self, reference: str, slot: datetime) -> None:
        """Hold a time. The same again changes nothing, for a call may be made twice. Raises `SlotTaken`."""
        if self.held.get(reference) != slot and slot in self.held.values():
            raise SlotTaken
        self.held[reference] = slot

    async def confirm(self, reference: str, phone: str) -> None:
        """Make a booking of a time that is held."""
        self.phones[reference] = phone

    async def cancel(self, reference: str) -> None:
        """Give a time back, booked or held. If there is none, there is nothing to do."""
        self.held.pop(reference, None)
        self.phones.pop(reference, None)


@lifespan
async def resources() -> AsyncIterator[dict[str, object]]:
    """Open the booking system, once per process."""
    monday = datetime(2030, 1, 7, 9, tzinfo=UTC)
    yield {"bookings": Bookings([monday + timedelta(hours=hour) for hour in range(8)])}


async def give_back(reference: str, resources: Any) -> None:
    """Cancel the booking of a flow that has failed. It is called by any process, with that process's resources."""
    await resources.bookings.cancel(reference)


@on_error
async def sorry(chat: Chat, error: Exception) -> None:
    """Get a person. The flow has failed all the same, so the time is given back."""
    await chat.say("Sorry, that did not work. I am getting a person for you.")
    await chat.hand_over(tags=["appointment_failed"])


@flow("appointment")
async def appointment(chat: Chat) -> None:
    """Hold a time, ask for the rest, and book."""
    bookings: Bookings = chat.resources.bookings
    reference = f"{chat.conversation_id}-{chat.run_id}"
    # Before the time is held: a call that fails may have done its work.
    await chat.on_end(give_back, reference, when="failed")
    try:
        slot = await held(chat, bookings, reference)
        phone = (await chat.ask("Which phone number can we reach you at?")).text
        sure = await chat.ask(
            f"{label(slot)}, and your number is {phone}. Shall I book it?",
            choices=[YES, NO],
        )
    except NoAnswer:
        await chat.call(bookings.cancel, reference)  # such a flow has not failed
        await chat.release()
    if sure.choice != YES:
        await chat.call(bookings.cancel, reference)
        await chat.say("Nothing is booked. Write again whenever you like.")
        await chat.release()
    await chat.call_with(attempts=3)(bookings.confirm, reference, phone)
    await chat.say(f"It is booked: {label(slot)}. See you then!")
    await chat.release()


async def held(chat: Chat, bookings: Bookings, reference: str) -> datetime:
    """Let the user choose until a time is held."""
    hold = chat.call_with(attempts=3, give_up_on=SlotTaken)
    while True:
        slots = await chat.call(bookings.free)
        if not slots:
            await chat.say("There are no free times. I am getting a person for you.")
            await chat.hand_over(tags=["no_free_times"])
        choices = [Choice(label(slot), slot.isoformat()) for slot in slots[:SLOTS_SHOWN]]
        answer = await chat.ask("Which time suits you?", choices=choices)
        if answer.choice is None:
            await chat.say("Please choose one of these times.")
            continue
        slot = datetime.fromisoformat(answer.choice.payload)
        try:
            await hold(bookings.hold, reference, slot)
        except CallFailed as error:
            if error.error_type != "SlotTaken":
                raise
            await chat.say("Somebody was faster, sorry.")
        else:
            return slot


def label(slot: datetime) -> str:
    """Return a time as the user sees it."""
    return f"{slot:%A %d %B, %H:%M}"
