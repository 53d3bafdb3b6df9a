"""Searchable contact data in events: names, email addresses, external ids, tickets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from webhooks.events import ConversationMessage, Event, UnknownEvent, event_user_ids
from webhooks.messages import Conversation, User

MAX_LENGTH = 200  # stored characters of a name, address or id
MAX_WORDS = 6  # words of a name that a search can start at

_TICKET = re.compile(r"(?:^|[^a-z])ticket[._:-]?(?:id|number)?$", re.IGNORECASE)
"""Matches metadata keys that hold a ticket number: `ticketId`, `zd.ticket.id`, …"""


class ContactKind(StrEnum):
    """The kinds of contact data, best display name first."""

    NAME = "name"
    EMAIL = "email"
    EXTERNAL_ID = "external_id"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class Contact:
    """A piece of contact data as posted. Personal data."""

    kind: ContactKind
    text: str

    @property
    def terms(self) -> list[str]:
        """The normalised search terms: the whole text, then a name from each later word on."""
        whole = search_term(self.text)
        if self.kind is not ContactKind.NAME:
            return [whole]
        words = whole.split(" ")
        return [" ".join(words[first:]) for first in range(min(len(words), MAX_WORDS))]


def search_term(text: str) -> str:
    """Normalise text for searching: fold case and white space, drop a leading "#"."""
    return " ".join(text.casefold().split()).removeprefix("#")[: 2 * MAX_LENGTH]


def contacts_of(event: Event) -> frozenset[Contact]:
    """Return the contact data of the end users in an event.

    Agents are left out: an author counts only if it is the end user. Empty if the event
    names no user id, because such data could not be erased with `user:remove`.
    """
    if isinstance(event, UnknownEvent) or not event_user_ids(event):
        return frozenset()
    found = ((kind, text) for kind, text in _found_in(event) if search_term(text))
    return frozenset(Contact(kind, text[:MAX_LENGTH].strip()) for kind, text in found)


def _found_in(event: Event) -> Iterator[tuple[ContactKind, str]]:
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
