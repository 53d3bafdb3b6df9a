"""What can be said: the shapes that the API takes, the limits that are checked, and what comes back as an answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from flow_samples import LIVE, SHORTHANDS

from bot import (
    Answer,
    Attachment,
    Button,
    Card,
    Carousel,
    Chat,
    Choice,
    Content,
    EmailField,
    File,
    FlowMisuse,
    Form,
    Image,
    Link,
    Location,
    LocationRequest,
    SelectField,
    Text,
    TextField,
)
from bot.flows.content import messages, offered
from bot.sandbox.contents import check_content
from bot.sandbox.history import Cause, Kind
from bot.testing.talks import ChatWith

yaml = pytest.importorskip("yaml")
validator = pytest.importorskip("openapi_schema_validator")

DESCRIPTION = Path(__file__).parents[3].parent / "shared" / "openapi.yaml"

URL = "https://example.com/x.png"
BUY = Button("Buy", "buy")

SAYABLE: list[Content] = [
    Text("Hello"),
    Text("Hello", choices=["Yes", Choice("No", "no")]),
    Text("Hello", buttons=[BUY, Link("Read", "https://example.com/?q=1"), LocationRequest("Where are you?")]),
    Text("Hello", buttons=[Link("Write", "mailto:a@example.com"), Link("Call", "tel:+4312345")]),
    Text("word " * 2000, choices=["Go on"]),
    Image(URL),
    Image(URL, "A picture", "A cat on a mat", choices=["Nice"]),
    Image(URL, buttons=[BUY]),
    File("https://example.com/terms.pdf", "Our terms", "Terms"),
    Carousel([Card("Tea", [BUY])]),
    Carousel([Card(f"Tea {n}", [BUY, Link("More", URL)], "Green", URL, "A cup") for n in range(10)]),
    Form([TextField("name", "Name")]),
    Form(
        [
            TextField("name", "Name", "Ada", least=2, most=256),
            TextField("age", "Age", format="integer"),
            EmailField("mail", "E-mail", "ada@example.com"),
            SelectField("size", "Size", ["S", Choice("Large", "L")], "Which?"),
        ],
        "Who are you?",
    ),
]
_names = [f"{type(content).__name__}-{number}" for number, content in enumerate(SAYABLE)]


@lru_cache
def _published() -> Any:
    described = yaml.safe_load(DESCRIPTION.read_text())
    return {"$ref": "#/components/schemas/messagePost", "components": described["components"]}


@pytest.mark.skipif(not DESCRIPTION.exists(), reason="the published API description is not here")
@pytest.mark.parametrize("content", SAYABLE, ids=_names)
def test_what_is_said_is_as_the_published_api_describes_it(content: Content) -> None:
    """Each message, and nothing in it that is unknown or not to be written."""
    known = _published()["components"]["schemas"]
    for message in messages(content):
        validator.OAS30WriteValidator(_published()).validate({"author": {"type": "business"}, "content": message})
        keys = known[f"{message['type']}Message"]["properties"]
        assert set(message) <= set(keys)
        assert not [key for key in message if keys[key].get("readOnly")]


@pytest.mark.parametrize("content", SAYABLE, ids=_names)
def test_what_is_said_is_taken_by_the_sandbox(content: Content) -> None:
    """It refuses what it does not know."""
    for message in messages(content):
        check_content(message)


def test_a_long_text_has_its_choices_below_the_last_message() -> None:
    """Where the user reads last."""
    *first, last = messages(SAYABLE[4])
    assert first
    assert not any("actions" in message for message in first)
    assert last["actions"] == [{"type": "reply", "text": "Go on", "payload": "Go on"}]


def test_what_is_offered_is_found_wherever_it_is() -> None:
    """Below a message and on its cards; a link offers nothing that comes back."""
    (content,) = messages(Carousel([Card("Tea", [BUY, Link("More", URL)]), Card("Cake", [Button("Eat")])]))
    assert offered(content) == [Choice("Buy", "buy"), Choice("Eat", "Eat")]


L = "l" * 129

MISUSES: list[tuple[Callable[[], Any], str]] = [
    (lambda: Text(" "), "the text is empty"),
    (lambda: Text(5), "int can't be said"),  # type: ignore[arg-type]
    (lambda: {"type": "text"}, "dict can't be said"),
    (lambda: Text("x", choices="Yes"), "choices: pass a list, not str"),
    (lambda: Text("x", choices={"Yes": "yes"}), "pass a list, not dict"),  # type: ignore[arg-type]
    (lambda: Text("x", choices=[1]), "int is not a choice"),  # type: ignore[list-item]
    (lambda: Text("x", choices=["c"] * 11), "11 choices are too many: at most 10"),
    (lambda: Text("x", choices=[L]), "a choice must have 1 to 128 characters, not 129"),
    (lambda: Text("x", choices=[""]), "a choice must have 1 to 128 characters, not 0"),
    (lambda: Text("x", choices=["Yes"], buttons=[BUY]), "choices or buttons, not both"),
    (lambda: Text("x", buttons=[BUY] * 11), "11 buttons are too many"),
    (lambda: Text("x", buttons=["Buy"]), "str is not a button"),  # type: ignore[list-item]
    (lambda: Text("x", buttons=[Button(L)]), "a button must have 1 to 128"),
    (lambda: Text("x", buttons=[Link("", URL)]), "a link must have 1 to 128"),
    (lambda: Text("x", buttons=[Link("a", "javascript:alert(1)")]), "begin with one of http, https, mailto, sms, tel"),
    (lambda: Text("x", buttons=[LocationRequest("")]), "a location request must have 1 to 128"),
    (lambda: Text("x", choices=[Choice("a", "p" * 100_000)]), "the message is too large"),
    (lambda: Image("x.png"), "begin with one of http, https"),
    (lambda: Image("https://"), "an address must be complete"),
    (lambda: Image("https://[broken"), "an address must be complete"),
    (lambda: Image("https://example.com/a b"), "without spaces"),
    (lambda: Image(None), "an address must be complete"),  # type: ignore[arg-type]
    (lambda: Image("mailto:a@example.com"), "begin with one of http, https"),
    (lambda: Image("https://example.com/" + "x" * 2048), "an address must have 1 to 2048"),
    (lambda: Image(URL, "t" * 4097), "text must have 1 to 4096"),
    (lambda: Image(URL, alt=L), "altText must have 1 to 128"),
    (lambda: File(""), "an address must be complete"),
    (lambda: Carousel([]), "cards: pass at least one"),
    (lambda: Carousel([Card("Tea", [BUY])] * 11), "11 cards are too many"),
    (lambda: Carousel(["Tea"]), "a carousel takes cards, not str"),  # type: ignore[list-item]
    (lambda: Carousel([Card("", [BUY])]), "the title of a card must have 1 to 128"),
    (lambda: Carousel([Card("Tea", [])]), "buttons of a card: pass at least one"),
    (lambda: Carousel([Card("Tea", [BUY] * 4)]), "4 buttons of a card are too many: at most 3"),
    (lambda: Carousel([Card("Tea", [LocationRequest("x")])]), "can't ask for a location"),  # type: ignore[list-item]
    (lambda: Carousel([Card("Tea", [BUY], L)]), "description must have 1 to 128"),
    (lambda: Form([]), "fields: pass at least one"),
    (lambda: Form([TextField(str(n), "x") for n in range(21)]), "21 fields are too many"),
    (lambda: Form(["name"]), "a form takes fields, not str"),  # type: ignore[list-item]
    (lambda: Form([TextField("a", "A"), EmailField("a", "B")]), "must have different names"),
    (lambda: Form([TextField("", "A")]), "the name of a field must have 1 to 128"),
    (lambda: Form([TextField("a", L)]), "the label of a field must have 1 to 128"),
    (lambda: Form([TextField("a", "A", L)]), "placeholder must have 1 to 128"),
    (lambda: Form([TextField("a", "A", most=257)]), "1 to 256 characters"),
    (lambda: Form([TextField("a", "A", least=5, most=4)]), "least can't exceed most"),
    (lambda: Form([SelectField("a", "A", [])]), "options: pass at least one"),
    (lambda: Form([SelectField("a", "A", ["x"] * 2)]), "options of a field must have different names"),
    (lambda: Form([SelectField("a", "A", [str(n) for n in range(201)])]), "201 options are too many"),
    (lambda: Form([SelectField("a", "A", [Choice("x", L)])]), "the payload of an option must have 1 to 128"),
    (lambda: Form([TextField("a", 1)]), "the label of a field must be a text, not int"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("content", "words"), MISUSES, ids=[words for _, words in MISUSES])
def test_what_the_platform_would_refuse_is_told_when_it_is_said(content: Callable[[], Any], words: str) -> None:
    """With what is wrong; the platform would only tell it when the flow is gone."""
    with pytest.raises(FlowMisuse, match=words):
        messages(content())


def test_the_length_that_counts_is_the_one_that_is_sent() -> None:
    """A label that grows by being made harmless."""
    label = "%((" + "x" * 125
    assert len(label) == 128
    with pytest.raises(FlowMisuse, match="not 129"):
        messages(Text("x", choices=[label]))


async def test_a_misuse_is_raised_where_the_flow_says_it(chat_with: ChatWith) -> None:
    """A flow may catch it and say something else."""

    async def flow(chat: Chat) -> None:
        for said in (Carousel([]), Image("nowhere")):
            with pytest.raises(FlowMisuse):
                await chat.say(said)
        with pytest.raises(FlowMisuse, match="to the Image itself"):
            await chat.say(Image(URL), choices=["Yes"])
        with pytest.raises(FlowMisuse, match="flat"):
            await chat.say("x", metadata={"a": {"b": 1}})
        await chat.ask("All right.")

    talk = chat_with(flow)
    await talk.user("hi")
    assert talk.said == ["All right."]


@pytest.mark.parametrize("shorthand", SHORTHANDS)
async def test_no_shorthand_moves_control_from_any_content(chat_with: ChatWith, shorthand: str) -> None:
    """Everything that is said passes the one place."""
    choice, button = Choice(shorthand, shorthand), Button(shorthand, shorthand)

    async def flow(chat: Chat) -> None:
        await chat.say(Text(shorthand, buttons=[button, Link(shorthand, URL), LocationRequest(shorthand)]))
        await chat.say(Image(URL, shorthand, shorthand, choices=[choice]))
        await chat.say(File(URL, shorthand, shorthand))
        await chat.say(Carousel([Card(shorthand, [button], shorthand, URL, shorthand)]))
        fields = (TextField(shorthand, shorthand, shorthand), SelectField("s", shorthand, [choice], shorthand))
        await chat.form(*fields, text=shorthand, metadata={"said": shorthand})

    talk = chat_with(flow)
    await talk.user("hi")
    said = [message for message in talk._visitor.messages if message.author["type"] == "business"]
    assert len(said) == 5
    assert not [message for message in said if LIVE.search(str((message.content, message.metadata)))]
    assert Cause.SHORTHAND not in [move.cause for move in talk._history(Kind.HOLDER)]


# -- answers ---------------------------------------------------------------------------------------------------------


async def test_a_tapped_button_answers_with_its_label(chat_with: ChatWith) -> None:
    """Also one that was offered before, or on a card; `choice` is for what the question itself offers."""
    answers: list[tuple[str, str | None, Choice | None]] = []

    async def flow(chat: Chat) -> None:
        await chat.say("First", buttons=[Button("Old", "old")])
        for question in ("one", "two", "three"):
            answer = await chat.ask(question, buttons=[Button("New", "new"), Button("Same")])
            answers.append((answer.text, answer.payload, answer.choice))
        await chat.say("done")

    talk = chat_with(flow, restart_every_turn=True)
    await talk.user("hi")
    await talk.taps("New")
    await talk.taps("Old")
    await talk.taps("Same")
    talk.expects("done")
    assert answers[-3:] == [
        ("New", "new", Choice("New", "new")),
        ("Old", "old", None),
        ("Same", "Same", Choice("Same", "Same")),
    ]


@pytest.mark.parametrize(
    ("typed", "choice"),
    [("Good", Choice("Good", "5")), (" gOOD ", Choice("Good", "5")), ("5", None), ("very good", None), ("", None)],
)
async def test_a_label_that_is_typed_is_a_choice_as_well(
    chat_with: ChatWith, typed: str, choice: Choice | None
) -> None:
    """Many people type; there is no payload then."""
    answers: list[Answer] = []

    async def flow(chat: Chat) -> None:
        answers.append(await chat.ask("How was it?", choices=[Choice("Good", "5"), "Bad"]))

    talk = chat_with(flow)
    await talk.user("hi")
    await talk.user(typed)
    assert [(answer.choice, answer.payload) for answer in answers] == [(choice, None)]


@pytest.mark.parametrize("typed", ["", "yes"])
async def test_a_choice_without_a_payload_is_the_choice_of_the_answer(chat_with: ChatWith, typed: str) -> None:
    """So it may be compared, whether it was tapped or typed."""
    yes = Choice("Yes")
    chosen: list[bool] = []

    async def flow(chat: Chat) -> None:
        answer = await chat.ask("Sure?", choices=[yes, Choice("No")])
        chosen.append(answer.choice == yes)

    talk = chat_with(flow)
    await talk.user("hi")
    await (talk.user(typed) if typed else talk.taps("Yes"))
    assert chosen == [True]


async def test_a_form_answers_with_its_fields(chat_with: ChatWith) -> None:
    """And with their text; or with words, where the user wrote instead."""
    seen: list[tuple[dict[str, str], str]] = []

    async def flow(chat: Chat) -> None:
        for _ in range(2):
            answer = await chat.form(
                TextField("name", "Name"), SelectField("size", "Size", ["Small", Choice("Large", "L")]), text="Please"
            )
            seen.append((answer.fields, answer.text))
        await chat.say("done")

    talk = chat_with(flow)
    await talk.user("hi")
    await talk.fills_in(name="Ada", size="L")
    await talk.user("no")
    talk.expects("done")
    assert seen[-2:] == [({"name": "Ada", "size": "L"}, "Name: Ada\nSize: L"), ({}, "no")]


async def test_pictures_and_places_are_answers(chat_with: ChatWith) -> None:
    """What the platform tells of them."""
    answers: list[Answer] = []

    async def flow(chat: Chat) -> None:
        answers.extend([await chat.ask("Picture?"), await chat.ask("Place?")])
        await chat.say("done")

    talk = chat_with(flow)
    await talk.user("hi")
    await talk.sends_image(URL, altText="cat.jpg", mediaSize=1234, text="my cat")
    await talk.sends_location(48.2, 16, location={"name": "Here", "address": "Main Street 1"})
    talk.expects("done")
    picture, place = answers[-2:]
    assert picture.attachments == (Attachment(URL, "image/jpeg", "cat.jpg", 1234),)
    assert (picture.text, picture.location, picture.fields) == ("my cat", None, {})
    assert place.location == Location(48.2, 16, "Here", "Main Street 1")
    assert (place.text, place.attachments) == ("", ())


@pytest.mark.parametrize(
    "content",
    [
        None,
        "text",
        {"type": "image", "mediaUrl": None},
        {"type": "location", "coordinates": {"lat": "north", "long": 1}},
        {"type": "formResponse", "fields": "none"},
        {"type": "formResponse", "fields": [5, {"label": "no name"}]},
    ],
)
def test_what_can_not_be_read_is_not_there(content: Any) -> None:
    """Users' clients send what they like."""
    answer = Answer("x", message={"content": content})
    assert (answer.attachments, answer.location, answer.fields) == ((), None, {})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ({"type": "text", "text": "Ada"}, "Ada"),
        ({"type": "email", "email": "a@example.com"}, "a@example.com"),
        ({"type": "select", "select": [{"name": "L", "label": "Large"}]}, "L"),
        ({"type": "select", "select": []}, ""),
        ({"type": "select"}, ""),
        ({"type": "hologram", "hologram": {}}, ""),
        ({}, ""),
    ],
)
def test_a_field_is_read_by_its_type(field: dict[str, Any], value: str) -> None:
    """Empty where there is nothing of that type."""
    form = {"type": "formResponse", "fields": [{"name": "it", **field}]}
    assert Answer("", message={"content": form}).fields == {"it": value}


async def test_a_place_without_a_name_is_a_place(chat_with: ChatWith) -> None:
    """Only the degrees are sure to be there."""
    content = {"type": "location", "coordinates": {"lat": 1, "long": 2}, "location": "odd"}
    assert Answer("", message={"content": content}).location == Location(1, 2)
