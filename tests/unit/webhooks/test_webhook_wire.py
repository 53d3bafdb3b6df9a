"""What is read from the wire, and under which ids."""

from __future__ import annotations

import pytest

from webhooks import wire


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'{"a": "hi"}', {"a": "hi"}),
        (rb'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        (rb'"cut \ud83d"', "cut \N{REPLACEMENT CHARACTER}"),
        (rb'"\ude00\ud83d\ude00\ud83d"', "\N{REPLACEMENT CHARACTER}\N{GRINNING FACE}\N{REPLACEMENT CHARACTER}"),
        (rb'"\ude00\ude00"', "\N{REPLACEMENT CHARACTER}" * 2),
        (rb'"\ud83d\n \\ud83d"', "\N{REPLACEMENT CHARACTER}\n \\ud83d"),
        (b'"\xff"', "\N{REPLACEMENT CHARACTER}"),
        (b"\xef\xbb\xbf{}", {}),
        (b"[" * 200 + b"]" * 200, None),
        (b"[1, " + b"[" * 300 + b"]" * 300 + b", 2]", None),
        (b'{"a": [{"b": ' * 100 + b"1" + b"}]}" * 100, None),
        (b'{"a": ' + b"9" * 5000 + b', "b": -' + b"9" * 5000 + b'.5e5, "c": "' + b"9" * 5000 + b'"}', None),
        (b'["[[[[", ' + b"[" * 300 + b'"]]", "\\"]"' + b"]" * 300 + b"]", None),
    ],
)
def test_broken_text_is_mended(body: bytes, value: object) -> None:
    """What a careless sender breaks costs a character, and not the delivery."""
    read = wire.read_json(body)
    assert value is None or read == value
    assert wire.read_json(wire.write_json(read)) == read


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no",
        b'{"a":',
        rb'"\u12"',
        b"[" * 300,
        b"[" * 100_000,
        b"[" * 300 + b"]" * 299,
        b"]" * 300,
        b'"' * 300 + b"[" * 300,
        b'"\\"' * 50_000,
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    """Only a ValueError comes out, and it quotes nothing."""
    with pytest.raises(ValueError, match=r"at line 1 column \d+$"):
        wire.read_json(body)


def test_what_is_too_much_becomes_null() -> None:
    """A number that is too long by itself; of a deep nest, what is below the deepest level that is kept."""
    body = b'{"a": -%b.5e5, "b": "%b", "c": %b, "d": 1}' % (
        b"9" * 5000,
        b"9" * 5000,
        b"[" * 300 + b"9" * 5000 + b"]" * 300,
    )
    read = wire.read_json(body)
    assert isinstance(read, dict)
    assert (read["a"], read["b"], read["d"]) == (None, "9" * 5000, 1)
    assert wire.write_json(read["c"]) == b"[" * 127 + b"null" + b"]" * 127


@pytest.mark.parametrize("body", [b"[NaN]", b"[Infinity]", b"[-Infinity]", b"[1e999]"])
def test_numbers_that_json_lacks_become_null(body: bytes) -> None:
    """What is stored is JSON for every reader."""
    assert wire.write_json(wire.read_json(body)) == b"[null]"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5f74a0d5", "5f74a0d5"),
        ("x" * 255, "x" * 255),
        (912382197, "912382197"),
        (0, "0"),
        ("", None),
        ("x" * 256, None),
        ("nul\0", None),
        ("line\nbreak", None),
        ("half \ud83d", None),
        (2**63, None),
        (True, None),
        (1.5, None),
        (".", None),
        ("..", None),
        ("...", "..."),
        (None, None),
        ({"id": "x"}, None),
    ],
)
def test_what_can_be_an_id(value: object, expected: str | None) -> None:
    """An id is short printable text, or a whole number."""
    assert wire.identifier(value) == expected


def test_an_event_without_id_gets_one_from_its_content() -> None:
    """The order of keys makes no difference, a different content does."""
    one = wire.event_id({"type": "t", "payload": {"a": 1, "b": [float("inf")]}})
    assert one == wire.event_id({"payload": {"b": [None], "a": 1}, "type": "t"})
    assert one != wire.event_id({"payload": {"b": [None], "a": 2}, "type": "t"})
    assert one.startswith("sha256:")
    assert wire.identifier(one) == one


@pytest.mark.parametrize(
    ("posted", "expected"),
    [("user:update", "user:update"), ("", "unknown"), (None, "unknown"), (5, "unknown"), ("a\0", "unknown")],
)
def test_the_type_is_what_was_posted(posted: object, expected: str) -> None:
    """A type that can't be stored is `unknown`."""
    assert wire.event_type({"type": posted}) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"conversation": {"id": "c1"}}, "c1"),
        ({"conversation": {"id": ""}}, None),
        ({"conversation": {}}, None),
        ({"conversation": "c1"}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_conversation_is_looked_up(payload: object, expected: str | None) -> None:
    """No shape of the payload is an error."""
    assert wire.conversation_id({"payload": payload}) == expected


def _said(type_: str = "conversation:message", **changes: object) -> dict[str, object]:
    payload = {"message": {"id": "m1"}, "user": {"id": "u1"}, "postback": {"payload": "GO"}, "referral": {"code": "A"}}
    return {"id": "e1", "createdAt": "2026-03-01T12:00:00.500Z", "type": type_, "payload": payload | changes}


@pytest.mark.parametrize("type_", ["conversation:message", "conversation:postback", "conversation:referral"])
def test_what_is_said_has_one_id_under_any_event_id(type_: str) -> None:
    """However much else of the event a second webhook shows."""
    twin = _said(type_) | {"id": "e2", "more": 1}
    assert wire.said_id(twin) == wire.said_id(_said(type_)) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_said(), _said(message={"id": "m2"})),
        (_said("conversation:postback"), _said("conversation:postback", postback={"payload": "STOP"})),
        (_said("conversation:postback"), _said("conversation:postback", user={"id": "u2"})),
        (_said("conversation:postback"), _said("conversation:postback") | {"createdAt": "2026-03-01T12:00:00.501Z"}),
        (_said("conversation:postback"), _said("conversation:referral")),
    ],
)
def test_what_is_said_anew_has_another_id(one: dict[str, object], other: dict[str, object]) -> None:
    """A second tap, another user, another button."""
    assert wire.said_id(one) != wire.said_id(other)


@pytest.mark.parametrize(
    "event",
    [
        _said("conversation:message:delivery:user"),
        _said("switchboard:passControl"),
        _said("conversation:postback") | {"createdAt": None},
        _said() | {"payload": 7},
        _said(message={"id": {}}),
        _said(message="m1"),
        {},
        {"type": [], "payload": {}},
    ],
)
def test_where_nothing_is_said_there_is_no_id(event: dict[str, object]) -> None:
    """The event id alone tells such events apart."""
    assert wire.said_id(event) is None
