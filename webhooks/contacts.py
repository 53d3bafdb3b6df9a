"""What people are found by: names, e-mail addresses, external ids and tickets that events show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from webhooks.events import ConversationMessage, Event, UnknownEvent, event_user_ids
from webhooks.messages import Conversation, User

LONGEST = 200  # characters of a name, an address or an id that are kept
MOST_WORDS = 6  # of a name, that it is found by

_TICKET = re.compile(r"(?:^|[^a-z])ticket[._:-]?(?:id|number)?$", re.IGNORECASE)
"""How the names of metadata end that hold a ticket's number: `ticketId`, `ticket_id`, `zd.ticket.id`."""


class ContactKind(StrEnum):
    """What a contact is, the best to show a person by first."""

    NAME = "name"
    EMAIL = "email"
    EXTERNAL_ID = "external_id"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class Contact:
    """Something that the people of a conversation are found by, as it was posted; personal."""

    kind: ContactKind
    text: str

    @property
    def terms(self) -> list[str]:
        """What it is found by, as `search_term` writes it: all of it first, and a name from each of its words on."""
        whole = search_term(self.text)
        if self.kind is not ContactKind.NAME:
            return [whole]
        words = whole.split(" ")
        return [" ".join(words[first:]) for first in range(min(len(words), MOST_WORDS))]


def search_term(text: str) -> str:
    """Return a text as it is searched for: without capitals, needless spaces, and the sign before a number."""
    return " ".join(text.casefold().split()).removeprefix("#")[: 2 * LONGEST]


def contacts_of(event: Event) -> frozenset[Contact]:
    """Return what an event shows of the people in its conversation. Nothing if it names no user that could be removed.

    Agents are none of them: an author counts only if it is the end user.
    """
    if isinstance(event, UnknownEvent) or not event_user_ids(event):
        return frozenset()
    return frozenset(Contact(kind, text[:LONGEST].strip()) for kind, text in _shown(event) if search_term(text))


def _shown(event: Event) -> Iterator[tuple[ContactKind, str]]:
    payload = event.payload
    if isinstance(event, ConversationMessage):
        author = event.payload.message.author
        if author.is_user:
            yield from _texts(ContactKind.NAME, author.display_name)
            yield from _of_user(author.user)
        yield from _tickets(event.payload.message.metadata)
    user = getattr(payload, "user", None)
    yield from _of_user(user if isinstance(user, User) else None)
    conversation = getattr(payload, "conversation", None)
    if isinstance(conversation, Conversation):
        yield from _tickets(conversation.metadata)


def _of_user(user: User | None) -> Iterator[tuple[ContactKind, str]]:
    if user is None:
        return
    names = [user.profile.get("givenName"), user.profile.get("surname")]
    yield from _texts(ContactKind.NAME, " ".join(name for name in names if isinstance(name, str)))
    yield from _texts(ContactKind.EMAIL, user.profile.get("email"))
    yield from _texts(ContactKind.EXTERNAL_ID, user.external_id)


def _texts(kind: ContactKind, value: object) -> Iterator[tuple[ContactKind, str]]:
    if isinstance(value, str) and value.strip():
        yield kind, value


def _tickets(metadata: Mapping[str, Any]) -> Iterator[tuple[ContactKind, str]]:
    for name, value in metadata.items():
        if isinstance(value, str | int) and not isinstance(value, bool) and _TICKET.search(name):
            yield from _texts(ContactKind.TICKET, str(value))
