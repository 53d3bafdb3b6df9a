"""Choices that are typed: however a label is written, and by its number in the list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import Button, Card, Carousel, Chat, Choice, Content, Link, Text
from bot.flows.labels import typed_choice
from bot.testing.talks import ChatWith

URL = "https://example.com"
ORDER = ["Where is it?", "That's all", "Größe ändern", "Café", "\uff26\uff35\uff2c\uff2c width", "👍️ Yes"]


@pytest.mark.parametrize(
    ("typed", "label"),
    [
        ("where is it", "Where is it?"),
        ("WHERE  IS\tIT ?", "Where is it?"),
        ("“Where is it?”", "Where is it?"),
        ("'where is it.'", "Where is it?"),
        ("«Where is it»", "Where is it?"),
        ("Where is it\u200b\u2060?\ufeff", "Where is it?"),
        ("\u200eWhere is it?\u200f", "Where is it?"),
        ("That\u2019s all", "That's all"),
        ("thats all!", "That's all"),
        ("that`s all…", "That's all"),
        ("GRÖSSE ÄNDERN", "Größe ändern"),
        ("Gro\u0308ße a\u0308ndern", "Größe ändern"),
        ("Cafe\u0301", "Café"),
        ("full width", "\uff26\uff35\uff2c\uff2c width"),
        ("👍 yes", "👍️ Yes"),
        ("where\u00a0is it", "Where is it?"),
        ("Caf", None),
        ("Cafe", None),
        ("where is", None),
        ("", None),
        (".", None),
        ("“”", None),
        ("\u200b", None),
    ],
)
def test_a_label_counts_however_it_is_written(typed: str, label: str | None) -> None:
    """Case, Unicode form, quotation marks, what nobody sees, white space, and punctuation at the end."""
    choices = [Choice(text, text) for text in ORDER]
    found = typed_choice(choices, choices, typed)
    assert (found.text if found else None) == label


@pytest.mark.parametrize(
    ("labels", "typed", "label"),
    [
        (["Tea", "Cake"], "2", "Cake"),
        (["Tea", "Cake"], " 2. ", "Cake"),
        (["Tea", "Cake"], "2)", "Cake"),
        (["Tea", "Cake"], "(1)", "Tea"),
        (["Tea", "Cake"], "#1", "Tea"),
        (["Tea", "Cake"], "\uff12", "Cake"),
        (["Tea", "Cake"], "٢", "Cake"),
        (["Tea", "Cake"], "0", None),
        (["Tea", "Cake"], "3", None),
        (["Tea", "Cake"], "-1", None),
        (["Tea", "Cake"], "1.5", None),
        (["Tea", "Cake"], "2 please", None),
        (["Tea", "Cake"], "9" * 5000, None),
        (["Tea"], "1", None),  # a single choice is no list: "How many?" with "Cancel" below
        (["5", "2", "1"], "2", "2"),
        (["10", "20"], "2", None),
        (["2 tickets", "4 tickets"], "2", "2 tickets"),
        (["Table for 2", "Table for 4", "Larger"], "4", "Table for 4"),
        (["Table for 2", "Table for 4", "Larger"], "3", None),
        (["1 to 2", "2 to 3"], "2", None),
    ],
)
def test_a_number_is_a_position_unless_the_labels_have_numbers(
    labels: list[str], typed: str, label: str | None
) -> None:
    """Who types "2" below "2 tickets" and "4 tickets" wants two tickets."""
    choices = [Choice(text, text) for text in labels]
    found = typed_choice(choices, choices, typed)
    assert (found.text if found else None) == label


def test_two_that_are_written_alike_are_told_apart_by_how_they_are_written() -> None:
    """And if that doesn't tell, it is neither; two that mean the same to the flow are one."""
    alike = [Choice("us", "pronoun"), Choice("U.S.", "country"), Choice("US.", "country 2")]
    assert typed_choice(alike, alike, "u.s.") == alike[1]
    assert typed_choice(alike[1:] + alike[:1], alike, "“us.”") is None
    same = [Choice("Buy", "tea"), Choice("Buy", "tea")]
    assert typed_choice(same, same, "buy") == same[0]
    assert typed_choice([Choice("Buy", "tea"), Choice("Buy", "cake")], [], "buy") is None


@given(st.text(), st.lists(st.text(min_size=1), min_size=1, max_size=4, unique_by=lambda text: text.strip().casefold()))
def test_a_label_typed_exactly_is_that_choice(typed: str, labels: list[str]) -> None:
    """Whatever is in it; and any text is taken."""
    choices = [Choice(label, str(number)) for number, label in enumerate(labels)]
    typed_choice(choices, choices, typed)
    for choice in choices:
        if choice.text.strip():
            assert typed_choice(choices, choices, choice.text) == choice


CARDS = [
    Card("Green", [Button("Buy green", "green"), Link("More", URL)]),
    Card("Black", [Button("Buy black", "black")]),
]


@pytest.mark.parametrize(
    ("content", "typed", "payload"),
    [
        (Text("?", choices=["Tea", "Cake"]), "2", "Cake"),
        (Text("?", buttons=[Button("Tea", "t"), Link("Read", URL), Button("Cake", "c")]), "3", "c"),
        (Text("?", buttons=[Button("Tea", "t"), Link("Read", URL), Button("Cake", "c")]), "2", None),
        (Carousel(CARDS), "2", "black"),
        (Carousel(CARDS), "“buy black”", "black"),
        (Carousel([Card("A", [Button("Buy", "a"), Button("Gift", "g")]), CARDS[0]]), "2", None),
        (Text("x " * 3000, choices=["Tea", "Cake"]), "1", "Tea"),
        (Text("?"), "1", None),
    ],
)
async def test_numbers_count_what_the_user_sees(
    chat_with: ChatWith, content: Content, typed: str, payload: str | None
) -> None:
    """Links count along; cards count if each offers one thing. The words stay the user's own, after a restart, too."""
    seen: list[tuple[str | None, str, str | None]] = []

    async def flow(chat: Chat) -> None:
        answer = await chat.ask(content)
        await chat.ask("And?")
        seen.append((answer.choice.payload if answer.choice else None, answer.text, answer.payload))

    talk = chat_with(flow, restart_every_turn=True)
    await talk.user("hi")
    await talk.user(typed)
    await talk.user("done")
    assert seen == [(payload or None, typed, None)]
