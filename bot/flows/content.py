"""Typed message content; converted to the API's form and checked when it is said.

Limits: docs/platform.md, 5, and the published API description (messages, actions,
items, fields).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never
from urllib.parse import urlsplit

from pydantic_core import to_json

from bot.flows.authoring import FlowMisuse
from bot.flows.defuse import TEXT_LIMIT, defused, may_be_live, pieces, undefused

Json = dict[str, Any]


WHOLE_TEXT_LIMIT = 100_000  # characters per `say`; a release waits until all are sent
ACTIONS_LIMIT = 10
CARD_ACTIONS_LIMIT = 3
CARDS_LIMIT = 10
FIELDS_LIMIT = 20
FORMATS = ("", "integer", "decimal")
OPTIONS_LIMIT = 200
LABEL_LIMIT = 128  # characters of a label, name, title or description
ANSWER_LIMIT = 256  # characters in a text field of a form
URL_LIMIT = 2048
REQUEST_LIMIT = 90_000  # bytes of content; the whole request may have 100 kB

_JSON = json.JSONEncoder(ensure_ascii=False)  # shared: `json.dumps` creates one per call
_MEDIA = frozenset({"http", "https"})
_LINKS = _MEDIA | {"mailto", "tel", "sms"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A quick reply. It disappears after the user answers.

    Attributes:
        text: the visible label, and the text of the answer.
        payload: passed to the flow with the answer; default is the label.
    """

    text: str
    payload: str = ""

    def __post_init__(self) -> None:
        # Set it as the answer returns it, so that `answer.choice == YES` holds for YES = Choice("Yes").
        if self.payload == "":
            object.__setattr__(self, "payload", self.text)


@dataclass(frozen=True, slots=True)
class Button:
    """A postback button. It stays, so the user may tap it again later.

    Attributes:
        text: the label.
        payload: passed to the flow with the tap; default is the label.
    """

    text: str
    payload: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A button that opens an address (https, http, mailto, tel, sms); taps are not reported."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class LocationRequest:
    """A button to share a location; the answer has it as `location`."""

    text: str


AnyButton = Button | Link | LocationRequest


@dataclass(frozen=True, slots=True)
class Text:
    """A text, with choices or buttons below it; split into several messages if too long."""

    text: str
    choices: Sequence[str | Choice] = ()
    buttons: Sequence[AnyButton] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """A picture by URL; `alt` is its description for screen readers."""

    url: str
    text: str = ""
    alt: str = ""
    choices: Sequence[str | Choice] = ()
    buttons: Sequence[AnyButton] = ()


@dataclass(frozen=True, slots=True)
class File:
    """A file by URL."""

    url: str
    text: str = ""
    alt: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """An item of a carousel: a title and one to three buttons.

    Optionally also a description, and a picture by URL.
    """

    title: str
    buttons: Sequence[Button | Link]
    description: str = ""
    image: str = ""
    alt: str = ""


@dataclass(frozen=True, slots=True)
class Carousel:
    """One to ten cards side by side."""

    cards: Sequence[Card]


@dataclass(frozen=True, slots=True)
class TextField:
    """A line of text in a form.

    Attributes:
        name: the key in the answer's `fields`.
        label: the visible label.
        placeholder: shown while the field is empty.
        least: minimum number of characters.
        most: maximum number of characters, up to 256.
        format: for numbers.
    """

    name: str
    label: str
    placeholder: str = ""
    least: int = 1
    most: int = 128
    format: Literal["", "integer", "decimal"] = ""


@dataclass(frozen=True, slots=True)
class EmailField:
    """An e-mail address; the widget validates it."""

    name: str
    label: str
    placeholder: str = ""


@dataclass(frozen=True, slots=True)
class SelectField:
    """A choice of one option. The answer has its payload, or its text if it has none."""

    name: str
    label: str
    options: Sequence[str | Choice]
    placeholder: str = ""


FormField = TextField | EmailField | SelectField


@dataclass(frozen=True, slots=True)
class Form:
    """One to twenty fields that the user fills in and sends as one answer."""

    fields: Sequence[FormField]
    text: str = ""


Content = Text | Image | File | Carousel | Form
"""All content types."""


def messages(content: Content) -> list[Json]:
    """The API's message contents; several if a text is too long for one.

    Raises:
        FlowMisuse: a limit of the platform is exceeded; the text says which.
    """
    if isinstance(content, Text) and not (content.choices or content.buttons):
        return _texts(content.text)  # never too large
    return [_checked(one) for one in _rendered(content)]


def _checked(message: Json) -> Json:
    """The message, if it is small enough. Defuses shorthand that spans its parts."""
    if _is_small_and_harmless(message):
        return message
    in_json = _JSON.encode(message)
    if may_be_live(in_json):
        message = defused(message)
        in_json = _JSON.encode(message)
    if len(in_json.encode("utf-8", "replace")) > REQUEST_LIMIT:
        raise FlowMisuse(f"the message is too large: at most {REQUEST_LIMIT} bytes")
    return message


def _is_small_and_harmless(message: Json) -> bool:
    """A cheap check that passes for nearly every message.

    It matters: each turn of a flow renders all its messages again.
    """
    try:
        in_json = to_json(message)
    except ValueError:  # a lone surrogate
        return False
    return len(in_json) < REQUEST_LIMIT // 2 and not may_be_live(in_json.decode())


def offered(content: Json) -> list[Choice]:
    """All choices and postback buttons of a message, as the flow's author wrote them."""
    actions = [*content.get("actions", ())]
    for item in content.get("items", ()):
        actions += item.get("actions", ())
    return [choice for choice in map(_offer, actions) if choice]


def listed(content: Json) -> list[Choice | None]:
    """The actions below a message, in visible order; None for a link.

    A user may answer with a number in this list. A carousel is such a list if each card
    offers exactly one choice.
    """
    if items := content.get("items"):
        offers = [[choice for choice in map(_offer, item["actions"]) if choice] for item in items]
        return [choice for (choice,) in offers] if all(len(offer) == 1 for offer in offers) else []
    return [_offer(action) for action in content.get("actions", ())]


def _offer(action: Json) -> Choice | None:
    if "payload" not in action:
        return None
    return Choice(undefused(action["text"]), undefused(action["payload"]))


def _texts(text: object) -> list[Json]:
    if not isinstance(text, str):
        raise FlowMisuse(f"{type(text).__name__} can't be said: pass a text or content")
    if not text.strip():
        raise FlowMisuse("there is nothing to say: the text is empty")
    if len(text) > WHOLE_TEXT_LIMIT:
        raise FlowMisuse(
            f"the text is too long: at most {WHOLE_TEXT_LIMIT} characters, in several messages",
        )
    return [{"type": "text", "text": piece} for piece in pieces(defused(text))]


def _rendered(content: Content) -> list[Json]:
    match content:
        case Text(text, choices, buttons):
            said = _texts(text)
            said[-1] |= _actions(choices, buttons)
            return said
        case Image(url, text, alt, choices, buttons):
            return [{"type": "image", **_media(url, text, alt), **_actions(choices, buttons)}]
        case File(url, text, alt):
            return [{"type": "file", **_media(url, text, alt)}]
        case Carousel(cards):
            return [
                {
                    "type": "carousel",
                    "items": [_card(card) for card in _some(cards, "cards", CARDS_LIMIT)],
                }
            ]
        case Form(fields, text):
            made = [_field(field) for field in _some(fields, "fields", FIELDS_LIMIT)]
            _unique([field["name"] for field in made], "fields of a form")
            return [{"type": "form", "fields": made, **_if_given("text", text, TEXT_LIMIT)}]
        case unknown:  # a mistake in a flow without type checks
            raise FlowMisuse(f"{type(unknown).__name__} can't be said: pass a text or content")


def _media(url: str, text: str, alt: str) -> Json:
    shown = {
        **_if_given("text", text, TEXT_LIMIT),
        **_if_given("altText", alt, LABEL_LIMIT),
    }
    return {"mediaUrl": _address(url, _MEDIA), **shown}


def _card(card: Card) -> Json:
    if not isinstance(card, Card):
        raise FlowMisuse(f"a carousel takes cards, not {type(card).__name__}")
    made: Json = {"title": _within("the title of a card", card.title, LABEL_LIMIT)}
    made |= _if_given("description", card.description, LABEL_LIMIT)
    if card.image:
        made |= {
            "mediaUrl": _address(card.image, _MEDIA),
            **_if_given("altText", card.alt, LABEL_LIMIT),
        }
    buttons = _some(card.buttons, "buttons of a card", CARD_ACTIONS_LIMIT)
    if any(isinstance(button, LocationRequest) for button in buttons):
        raise FlowMisuse("a card can't ask for a location: ask for it below a text")
    return {**made, "actions": [_button(button) for button in buttons]}


def _field(field: FormField) -> Json:
    if not isinstance(field, TextField | EmailField | SelectField):
        raise FlowMisuse(f"a form takes fields, not {type(field).__name__}")
    made: Json = {
        "name": _within("the name of a field", field.name, LABEL_LIMIT),
        "label": _within("the label of a field", field.label, LABEL_LIMIT),
        **_if_given("placeholder", field.placeholder, LABEL_LIMIT),
    }
    match field:
        case TextField():
            sizes = (field.least, field.most)
            if not all(isinstance(size, int) for size in sizes) or not 1 <= sizes[0] <= sizes[1] <= ANSWER_LIMIT:
                raise FlowMisuse(
                    f"a text field takes 1 to {ANSWER_LIMIT} characters, and least can't exceed most",
                )
            if field.format not in FORMATS:
                known = ", ".join(FORMATS[1:])
                raise FlowMisuse(
                    f"{field.format!r} is not a format of a text field: use one of {known}",
                )
            given = {"format": field.format} if field.format else {}
            return {
                "type": "text",
                **made,
                "minSize": field.least,
                "maxSize": field.most,
                **given,
            }
        case EmailField():
            return {"type": "email", **made}
        case SelectField():
            options = [_option(option) for option in _some(field.options, "options", OPTIONS_LIMIT)]
            _unique([option["name"] for option in options], "options of a field")
            return {"type": "select", **made, "options": options}
        case _:
            assert_never(field)


def _option(option: str | Choice) -> Json:
    choice = _choice(option)
    name = _within("the payload of an option", choice.payload or choice.text, LABEL_LIMIT)
    return {"name": name, "label": _within("an option", choice.text, LABEL_LIMIT)}


def _actions(choices: Sequence[str | Choice], buttons: Sequence[AnyButton]) -> Json:
    """Render choices or buttons.

    Both at once are refused: the platform's documents don't say that it allows them.
    """
    if choices and buttons:
        raise FlowMisuse("a message takes choices or buttons, not both: use two messages")
    if choices:
        replies = [_choice(choice) for choice in _some(choices, "choices", ACTIONS_LIMIT)]
        return {"actions": [_action("reply", "a choice", choice) for choice in replies]}
    if buttons:
        return {"actions": [_button(button) for button in _some(buttons, "buttons", ACTIONS_LIMIT)]}
    return {}


def _button(button: AnyButton) -> Json:
    match button:
        case Button():
            return _action("postback", "a button", button)
        case Link(text, url):
            label = _within("a link", text, LABEL_LIMIT)
            return {"type": "link", "text": label, "uri": _address(url, _LINKS)}
        case LocationRequest(text):
            return {
                "type": "locationRequest",
                "text": _within("a location request", text, LABEL_LIMIT),
            }
        case unknown:
            raise FlowMisuse(
                f"{type(unknown).__name__} is not a button: use Button, Link or LocationRequest",
            )


def _action(kind: str, what: str, offer: Choice | Button) -> Json:
    label = _within(what, offer.text, LABEL_LIMIT)
    if not isinstance(offer.payload, str):
        raise FlowMisuse(
            f"the payload of {what} must be a text, not {type(offer.payload).__name__}",
        )
    return {"type": kind, "text": label, "payload": defused(offer.payload) or label}


def _choice(choice: str | Choice) -> Choice:
    if not isinstance(choice, str | Choice):
        raise FlowMisuse(f"{type(choice).__name__} is not a choice: use a text or a Choice")
    return Choice(choice) if isinstance(choice, str) else choice


def _some(given: Iterable[Any], what: str, limit: int) -> list[Any]:
    if isinstance(given, str | Mapping):
        raise FlowMisuse(f"{what}: pass a list, not {type(given).__name__}")
    listed = list(given)
    if not listed:
        raise FlowMisuse(f"{what}: pass at least one")
    if len(listed) > limit:
        raise FlowMisuse(f"{len(listed)} {what} are too many: at most {limit}")
    return listed


def _unique(names: list[str], what: str) -> None:
    if len(set(names)) < len(names):
        raise FlowMisuse(f"{what} must have different names, but two have the same")


def _if_given(key: str, text: str, limit: int) -> Json:
    return {key: _within(key, text, limit)} if text else {}


def _within(what: str, text: str, limit: int) -> str:
    """The text as it will be sent; its length is checked after defusing."""
    if not isinstance(text, str):
        raise FlowMisuse(f"{what} must be a text, not {type(text).__name__}")
    sent: str = defused(text)
    if not 0 < len(sent) <= limit:
        raise FlowMisuse(f"{what} must have 1 to {limit} characters, not {len(sent)}")
    return sent


def _address(url: str, schemes: frozenset[str]) -> str:
    known = ", ".join(sorted(schemes))
    try:
        parts = urlsplit(url)
        whole = parts.scheme in schemes and bool(
            parts.netloc if parts.scheme in _MEDIA else parts.path,
        )
    except (ValueError, TypeError, AttributeError):
        whole = False
    if not whole or any(character.isspace() for character in url):
        raise FlowMisuse(
            f"an address must be complete, without spaces, and begin with one of {known}",
        )
    return _within("an address", url, URL_LIMIT)
