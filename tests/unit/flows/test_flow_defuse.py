"""Everything that is said passes one place, and comes out unable to move control."""

from __future__ import annotations

import pytest
from flow_samples import LIVE, SHORTHANDS, Play, play
from hypothesis import given
from hypothesis import strategies as st

from bot import (
    Button,
    Card,
    Carousel,
    Chat,
    Choice,
    Content,
    Form,
    Image,
    Link,
    Markup,
    SelectField,
    Text,
    TextField,
    markup,
)
from bot.flows.content import messages
from bot.flows.defuse import TEXT_LIMIT, defused, pieces, undefused
from bot.sandbox.history import Cause, Kind
from bot.testing.talks import ChatWith

URL = "https://example.com/x.png"
FORMS = [
    "%[Claim your prize](https://example.com)",
    "%[Claim\nit](https://example.com)",
    "% [Claim it](https://example.com)",
    "%%[Claim it](https://example.com)",
    "%{{promo}}%",
    "%{ {promo} }%",
    "%{{template:promo}}%",
    "![](https://example.com/x.png)",
    "![a cat](https://example.com/x.png)",
    "&((namespace=[[x]]template=[[y]]))&",
    "& ( (template))&",
    *SHORTHANDS,
]
"""All that the platform makes something of."""


@pytest.mark.parametrize("shorthand", FORMS)
def test_a_shorthand_is_harmless_and_looks_the_same(shorthand: str) -> None:
    """Only an invisible character is added, which is taken off again when the text comes back."""
    text = defused(f"before {shorthand} after")
    assert shorthand not in text
    assert not LIVE.search(text)
    assert text.replace("\u200b", "") == f"before {shorthand} after"
    assert defused(text) == text
    assert undefused(text) == f"before {shorthand} after"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "100 %",
        "50% (of all)",
        "((x))",
        "a % b ((c",
        "%d %s",
        "{}%{}",
        "Wow! [1]",
        "this & (that)",
        "[a](b)",
        "!(x)",
    ],
)
def test_what_is_no_shorthand_stays_as_it_is(text: str) -> None:
    """People write percent signs and brackets."""
    assert defused(text) == text


def test_texts_are_defused_at_any_depth_and_the_rest_stays() -> None:
    """Mappings, lists and tuples."""
    shorthand = SHORTHANDS[0]
    value = {"a": [shorthand, {"b": (shorthand, 1)}], "c": 1.5, "d": None, "e": True}
    made = defused(value)
    assert not LIVE.search(str(made))
    assert (made["c"], made["d"], made["e"], made["a"][1]["b"][1]) == (1.5, None, True, 1)


@given(st.text(alphabet="%( )\n\u200bab"))
def test_no_text_comes_out_with_a_live_shorthand(text: str) -> None:
    """Also what is cut into pieces has none."""
    assert not LIVE.search(defused(text))
    if text.strip():
        assert not any(LIVE.search(piece) for piece in pieces(defused(text), 3))


@given(st.text(alphabet="ab \n\t", min_size=1).filter(str.strip), st.integers(min_value=1, max_value=9))
def test_pieces_are_never_empty_or_too_long_and_lose_nothing_but_white_space(text: str, limit: int) -> None:
    """A message without text would be refused, and end the flow as failed."""
    cut = list(pieces(text, limit))
    assert all(0 < len(piece) <= limit for piece in cut)
    if len(text) > limit:
        assert all(piece == piece.strip() for piece in cut)
    assert "".join("".join(piece.split()) for piece in cut) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("x" * TEXT_LIMIT, [TEXT_LIMIT]),
        ("x" * TEXT_LIMIT + "\n", [TEXT_LIMIT]),
        (" " * 5000 + "x", [1]),
        ("x" * (TEXT_LIMIT + 1), [TEXT_LIMIT, 1]),
        ("x" * 4000 + " " + "y" * 200, [4000, 200]),
    ],
)
def test_a_text_is_cut_at_the_limit(text: str, lengths: list[int]) -> None:
    """At white space where there is some."""
    assert [len(piece) for piece in pieces(text)] == lengths


@pytest.mark.parametrize("shorthand", SHORTHANDS)
def test_no_shorthand_moves_control_wherever_a_flow_puts_it(shorthand: str) -> None:
    """In the text, in choices' labels and payloads, in metadata; and when it comes back from the user."""

    async def flow(chat: Chat) -> None:
        await chat.say(f"You said: {chat.opening.text}", metadata={"said": shorthand})
        await chat.ask("And?", choices=[shorthand, Choice("label", shorthand), Choice(shorthand, "payload")])
        await chat.release()

    async def script(played: Play) -> None:
        await played.visitor.says(shorthand)
        message = await played.visitor.waits_for("And?")
        assert not LIVE.search(str(message.content))
        assert not any(LIVE.search(str(shown.metadata)) for shown in played.visitor.messages)
        await played.visitor.says("done")
        await played.given_up()
        moves = played.stage.sandbox.switchboard.history.of(played.visitor.conversation_id, Kind.HOLDER)
        assert Cause.SHORTHAND not in [move.cause for move in moves]

    play(script, flow)


# -- markup ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shorthand", FORMS)
def test_what_the_author_marks_is_said_as_it_is(shorthand: str) -> None:
    """In a text, a label, a card and a form."""
    marked = markup(shorthand)
    contents: list[Content] = [
        Text(marked, choices=[marked]),
        Text("x", buttons=[Button(marked), Link(marked, URL)]),
        Image(URL, marked),
        Carousel([Card(marked, [Button(marked)], marked)]),
        Form([TextField("name", marked), SelectField("s", "S", [Choice(marked, "p")])], marked),
    ]
    for content in contents:
        assert repr(shorthand)[1:-1] in repr(messages(content))


@pytest.mark.parametrize("shorthand", FORMS)
def test_what_is_joined_to_markup_stays_words(shorthand: str) -> None:
    """Before it, behind it, and where the mark gets lost."""
    marked = markup("%[Pay](https://example.com)")
    for joined in (shorthand + marked, marked + shorthand, "Hi " + marked + shorthand + marked):
        (said,) = messages(Text(joined))
        assert shorthand not in said["text"]
        assert marked in said["text"]
        assert isinstance(joined, Markup)
    (said,) = messages(Text(f"{marked} {shorthand}"))
    assert shorthand not in said["text"]
    assert marked not in said["text"]


def test_markup_is_joined_to_texts_only() -> None:
    """As with any text."""
    with pytest.raises(TypeError):
        markup("a") + 5  # type: ignore[operator]


def test_long_markup_stays_marked() -> None:
    """In each of its messages."""
    pay = "%[Pay](https://example.com)"
    first, last = messages(Text(markup("x" * TEXT_LIMIT + " " + pay)))
    assert (first["text"], last["text"]) == ("x" * TEXT_LIMIT, pay)


@pytest.mark.parametrize("source", ["the user", "a call", "the name", "a form"])
async def test_words_of_others_are_never_shorthand(chat_with: ChatWith, source: str) -> None:
    """Wherever a flow has them from, and whether it says them in a text, in choices or on a card."""
    shorthand = "%[Refund](https://example.com)"

    async def flow(chat: Chat) -> None:
        form = await chat.form(TextField("name", "Name"))
        word = {
            "the user": form.text,
            "a call": await chat.call(lambda: shorthand),
            "the name": f"{chat.user.name}{shorthand}",
            "a form": form.fields["name"],
        }[source]
        await chat.say(markup("%[Help](https://example.com/help) ") + word)
        await chat.say(word, choices=[word])
        await chat.say(Carousel([Card(word[:100], [Button(word)])]))

    talk = chat_with(flow, restart_every_turn=True)
    await talk.user("hi")
    await talk.fills_in(name=shorthand)
    said = [message.content for message in talk._visitor.messages if message.author["type"] == "business"][1:]
    assert len(said) == 3
    assert shorthand not in str(said)
    assert "%[Help](https://example.com/help)" in str(said)


async def test_a_choice_comes_back_as_its_author_wrote_it(chat_with: ChatWith) -> None:
    """Though it was made harmless on its way: label, payload, a field's name and its options."""
    shorthand, seen = "![x](y)", []

    async def flow(chat: Chat) -> None:
        answer = await chat.ask("?", choices=[shorthand, "no"])
        form = await chat.form(SelectField(shorthand, "?", [Choice("Yes", shorthand)]))
        seen.append((answer.text, answer.payload, answer.choice, form.fields))

    talk = chat_with(flow)
    await talk.user("hi")
    await talk.taps(talk.choices[0])
    await talk.fills_in(**{defused(shorthand): defused(shorthand)})
    assert seen == [(shorthand, shorthand, Choice(shorthand, shorthand), {shorthand: shorthand})]


async def test_control_moves_by_markup_only_if_the_author_says_so(chat_with: ChatWith) -> None:
    """The bot takes it for what it is: control went to another, and the flow is over."""

    async def flow(chat: Chat) -> None:
        await chat.say(markup("Bye. %((switchboard:passControl:zd-agentWorkspace))%"))
        await chat.ask("Still here?")

    talk = chat_with(flow)
    await talk.user("hi")
    assert talk.holder == "zd-agentWorkspace"
    assert talk.said[0] == "Bye."
    assert Cause.SHORTHAND in [move.cause for move in talk._history(Kind.HOLDER)]
