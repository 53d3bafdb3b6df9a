"""Everything that is said passes one place, and comes out unable to move control."""

from __future__ import annotations

import pytest
from flow_samples import LIVE, SHORTHANDS, Play, play
from hypothesis import given
from hypothesis import strategies as st

from bot import Chat, Choice
from bot.flows.defuse import TEXT_LIMIT, defused, pieces
from bot.sandbox.history import Cause, Kind


@pytest.mark.parametrize("shorthand", SHORTHANDS)
def test_a_shorthand_is_harmless_and_looks_the_same(shorthand: str) -> None:
    """Only an invisible character is added."""
    text = defused(f"before {shorthand} after")
    assert not LIVE.search(text)
    assert text.replace("\u200b", "") == f"before {shorthand} after"


@pytest.mark.parametrize("text", ["", "100 %", "50% (of all)", "((x))", "a % b ((c", "%d %s", "{}%{}"])
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
