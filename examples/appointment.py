"""Appointment: holds a time while the user decides, and frees it if the flow fails."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bot import CallFailed, Chat, Choice, NoAnswer, flow, lifespan, on_error

SLOTS_SHOWN = 5
YES, NO = Choice("Yes", "yes"), Choice("No", "no")


class SlotTaken(Exception):
    """The time was taken by somebody else."""


class Bookings:
    """Stands in for your booking system. A reference is the flow's name for a booking."""

    def __init__(self, slots: list[datetime]) -> None:
        self.slots = slots
        self.held: dict[str, datetime] = {}
        self.phones: dict[str, str] = {}

    async def free(self) -> list[datetime]:
        """Return the free times."""
        return [slot for slot in self.slots if slot not in self.held.values()]

    async def hold(self, reference: str, slot: datetime) -> None:
        """Hold a time; idempotent, since a call may be repeated. Raises `SlotTaken`."""
        if self.held.get(reference) != slot and slot in self.held.values():
            raise SlotTaken
        self.held[reference] = slot

    async def confirm(self, reference: str, phone: str) -> None:
        """Book a held time."""
        self.phones[reference] = phone

    async def cancel(self, reference: str) -> None:
        """Free a time, booked or held; does nothing if there is none."""
        self.held.pop(reference, None)
        self.phones.pop(reference, None)


@lifespan
async def resources() -> AsyncIterator[dict[str, object]]:
    """Open the booking system, once per process."""
    monday = datetime(2030, 1, 7, 9, tzinfo=UTC)
    yield {"bookings": Bookings([monday + timedelta(hours=hour) for hour in range(8)])}


async def give_back(reference: str, resources: Any) -> None:
    """Cancel the booking of a failed flow; runs in any process, with its resources."""
    await resources.bookings.cancel(reference)


@on_error
async def sorry(chat: Chat, error: Exception) -> None:
    """Apologize and hand over. The flow still counts as failed, so the time is freed."""
    await chat.say("Sorry, that did not work. I am getting a person for you.")
    await chat.hand_over(tags=["appointment_failed"])


@flow("appointment")
async def appointment(chat: Chat) -> None:
    """Hold a time, ask for the rest, and book it."""
    bookings: Bookings = chat.resources.bookings
    reference = f"{chat.conversation_id}-{chat.run_id}"
    # Register before holding: a failed call may have taken effect.
    await chat.on_end(give_back, reference, when="failed")
    try:
        slot = await held(chat, bookings, reference)
        phone = (await chat.ask("Which phone number can we reach you at?")).text
        sure = await chat.ask(
            f"{label(slot)}, and your number is {phone}. Shall I book it?",
            choices=[YES, NO],
        )
    except NoAnswer:
        await chat.call(bookings.cancel, reference)  # this flow has not failed, so cancel here
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
    """Format a time for the user."""
    return f"{slot:%A %d %B, %H:%M}"
