"""What people are found by, as events show it."""

from __future__ import annotations

from typing import Any

import pytest

from webhooks.contacts import MAX_LENGTH, Contact, ContactKind, contacts_of, search_term
from webhooks.events import parse_event

USER = {
    "id": "u1",
    "externalId": "crm-7",
    "profile": {"givenName": "Ada", "surname": "Lovelace", "email": "ada@example.com"},
}
NAME, EMAIL = Contact(ContactKind.NAME, "Ada Lovelace"), Contact(ContactKind.EMAIL, "ada@example.com")
EXTERNAL_ID, TICKET = Contact(ContactKind.EXTERNAL_ID, "crm-7"), Contact(ContactKind.TICKET, "12345")


def _found(type_: str, **payload: Any) -> set[Contact]:
    event = {"id": "e", "type": type_, "payload": {"conversation": {"id": "c1"}, **payload}}
    return set(contacts_of(parse_event(event)))


def _message(**author: Any) -> dict[str, Any]:
    return {"id": "m", "author": {"type": "user", "userId": "u1", **author}, "content": {"type": "text", "text": "hi"}}


def test_a_message() -> None:
    """The name that its author shows; and all of the user, where the webhook includes it."""
    assert _found("conversation:message", message=_message(displayName="Ada Lovelace")) == {NAME}
    assert _found("conversation:message", message=_message(user=USER)) == {NAME, EMAIL, EXTERNAL_ID}


def test_a_user() -> None:
    """Of any event that shows one."""
    assert _found("conversation:join", user=USER) == {NAME, EMAIL, EXTERNAL_ID}


def test_no_conversation() -> None:
    """An event of a user alone shows the same."""
    event = parse_event({"id": "e", "type": "user:update", "payload": {"user": USER}})
    assert contacts_of(event) == {NAME, EMAIL, EXTERNAL_ID}


def test_an_author_of_unknown_type() -> None:
    """May be anybody."""
    assert _found("conversation:message", message=_message(type="", displayName="Grace")) == set()


def test_nobody_to_remove() -> None:
    """A name without the id of a user could never be erased with that user."""
    message = {"id": "m", "author": {"type": "user", "displayName": "Ada Lovelace"}}
    assert _found("conversation:message", message=message) == set()


def test_an_agent() -> None:
    """Is not looked for."""
    author = {"type": "business", "userId": "a1", "displayName": "Grace", "user": USER}
    assert _found("conversation:message", message={"id": "m", "author": author}) == set()


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("ticketId", True),
        ("ticket_id", True),
        ("zd.ticket.id", True),
        ("ticket", True),
        ("TICKET-NUMBER", True),
        ("dataCapture.ticketField.1", False),
        ("ticketing", False),
        ("cricketId", False),
    ],
)
def test_tickets(name: str, is_one: bool) -> None:
    """By the name of the metadata."""
    message = {**_message(), "metadata": {name: 12345}}
    assert _found("conversation:message", message=message) == ({TICKET} if is_one else set())


@pytest.mark.parametrize("value", [None, True, [], {}, "", "  ", "\n"])
def test_odd_values(value: object) -> None:
    """Are left out."""
    user = {"id": "u1", "externalId": value, "profile": {"givenName": value, "email": value}}
    message = {**_message(displayName=value, user=user), "metadata": {"ticketId": value}}
    assert _found("conversation:message", message=message) == set()


def test_long_values() -> None:
    """Are cut."""
    (found,) = _found("conversation:message", message=_message(displayName="x" * 10_000))
    assert len(found.text) == MAX_LENGTH


def test_terms() -> None:
    """A name is found from each of its words on, anything else only from its beginning."""
    assert Contact(ContactKind.NAME, " Ada King  LOVELACE").terms == ["ada king lovelace", "king lovelace", "lovelace"]
    assert Contact(ContactKind.EMAIL, "Ada K@x.org").terms == ["ada k@x.org"]
    assert len(Contact(ContactKind.NAME, "x " * 100).terms) == 6
    assert search_term("  #123 ") == "123"
