"""A timeline as lines: everything that is on record, in order, each with who was active."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.console.lines import Actor, Mark, lines_of
from bot.console.render import Templates, place, read_place, stretches
from bot.control.commands import Pass, Read, Release
from bot.control.history import Moment, MomentKind
from bot.control.state import Action, Conversation, Duty, Key, Proof, Stage, Who
from bot.engine.delivery import EFFECT_KEY
from bot.store.interface import CleanUp, Effect, JournalEntry, Say
from bot.store.operators import Listed, PastDuty, PastEffect, PastEvent, Place, Timeline

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
EMPTY = Timeline(Listed(Conversation("c1"), NOW, NOW, NOW), [], [], [], [], [])
DUTY = Duty(1, Action.RELEASE, "flow complete", NOW, NOW, Stage.ACT, attempts=1, last_answer="release: accepted")


def _event(
    type_: str = "conversation:message",
    payload: dict[str, Any] | None = None,
    *,
    after: float = 0,
    status: str = "handled",
    reason: str | None = None,
) -> PastEvent:
    """An event of the conversation."""
    whole = {"conversation": {"id": "c1"}} | (payload or {})
    body = json.dumps({"id": "e", "type": type_, "createdAt": NOW.isoformat(), "payload": whole}).encode()
    return PastEvent("e", type_, NOW + after * SECOND, status, None, reason, body)


def _message(author: dict[str, Any], **more: Any) -> PastEvent:
    """A message."""
    return _event(payload={"message": {"id": "m", "author": author, "content": {"type": "text", "text": "Hi"}} | more})


def _effect(effect: Effect | None, outcome: str | None = "accepted", kind: str = "x") -> PastEffect:
    """An effect, finished unless there is no outcome."""
    return PastEffect("c1.1", kind, effect, NOW, 2, None if outcome is None else NOW + SECOND, outcome)


def _only(timeline: Timeline) -> tuple[Actor, str, str, str]:
    """The one line that there is."""
    (line,) = lines_of(timeline)
    return line.actor, line.what, line.text, line.note


AGENT = {"source": {"type": "zd:agentWorkspace"}}
SWITCHED = {"activeSwitchboardIntegration": {"id": "s", "name": "zd-agentWorkspace"}, "id": "c1"}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (_message({"type": "user", "displayName": "Ada"}), (Actor.USER, "wrote", "Hi", "")),
        (_message({"type": "business"}, **AGENT), (Actor.AGENT, "wrote", "Hi", "")),
        (_message({"type": "business"}), (Actor.PLATFORM, "a message from the business", "Hi", "")),
        (
            _message({"type": "user"}, content={"type": "image", "mediaUrl": "https://x"}),
            (Actor.USER, "wrote", "(image)", ""),
        ),
        (_message({"type": "user"}, content={}), (Actor.USER, "wrote", "", "")),
        (
            _message({"type": "user"}, activity={"type": "conversation:endedByUser"}),
            (Actor.USER, "ended the conversation", "", ""),
        ),
        (_message({"type": "user"}, activity={"type": "ticket:closed"}), (Actor.PLATFORM, "ticket:closed", "Hi", "")),
        (_message({"subtypes": ["activity"]}), (Actor.PLATFORM, "an activity", "Hi", "")),
        (
            _event("conversation:postback", {"postback": {"payload": "buy"}}),
            (Actor.USER, "tapped a button", "buy", ""),
        ),
        (_event("conversation:referral"), (Actor.USER, "arrived by a link", "", "")),
        (
            _event("conversation:create", {"creationReason": "startConversation"}),
            (Actor.PLATFORM, "the conversation was created by opening the widget", "", ""),
        ),
        (
            _event("conversation:create"),
            (Actor.PLATFORM, "the conversation was created with a first message", "", ""),
        ),
        (
            _event("switchboard:releaseControl", {"reason": "ticketClosed"}),
            (Actor.PLATFORM, "control was released (ticketClosed)", "", ""),
        ),
        (
            _event("switchboard:passControl", {"conversation": SWITCHED}),
            (Actor.PLATFORM, "control was passed to zd-agentWorkspace", "", ""),
        ),
        (_event("switchboard:acceptControl"), (Actor.PLATFORM, "control was passed to nobody", "", "")),
        (_event("user:update", {"user": {"id": "u"}}), (Actor.PLATFORM, "user:update", "", "")),
        (
            _event("conversation:typing", status="pending"),
            (Actor.PLATFORM, "conversation:typing", "", "not processed yet"),
        ),
        (
            replace(_event(status="set_aside", reason="bad"), body=b"{"),
            (Actor.PLATFORM, "conversation:message", "", "set aside: bad"),
        ),
        (
            replace(_event(), body=b"[]"),
            (Actor.PLATFORM, "conversation:message", "", "the event is not an object"),
        ),
        (
            _event("conversation:referral", status="set_aside"),
            (Actor.USER, "arrived by a link", "", "set aside: no reason"),
        ),
        (
            replace(_event(), body=b""),
            (Actor.PLATFORM, "conversation:message", "", "content erased"),
        ),
        (
            replace(_event("operator:release"), by_operator=True),
            (Actor.OPERATOR, "requested a release by hand", "", ""),
        ),
        (
            replace(_event("signal"), by_operator=True),
            (Actor.PLATFORM, "another system sent a signal to the flow", "", ""),
        ),
        (
            replace(_event("flow"), by_operator=True),
            (Actor.PLATFORM, "another system requested a flow", "", ""),
        ),
    ],
)
def test_events(event: PastEvent, line: tuple[Actor, str, str, str]) -> None:
    """What was heard, in words."""
    assert _only(replace(EMPTY, events=[event])) == line


def test_noise() -> None:
    """Typing and receipts are no lines, nor is the bot's own message when it comes back."""
    say = _effect(Say("c1.1", 1, {"type": "text", "text": "Hello"}), "said")
    echo = _message({"type": "business"}, metadata={EFFECT_KEY: "c1.1"})
    noise = [_event("conversation:typing"), _event("conversation:read"), echo]
    assert _only(replace(EMPTY, events=noise, effects=[say])) == (Actor.BOT, "said", "Hello", "")


@pytest.mark.parametrize(
    ("effect", "line"),
    [
        (_effect(Say("c1.1", 1, {"type": "carousel"}), "dropped"), ("said", "(carousel)", "dropped", Mark.PLAIN)),
        (_effect(Say("c1.1", 1, {"text": "Hi"}), None), ("said", "Hi", "not done yet", Mark.PLAIN)),
        (_effect(Say("c1.1", 1, {"text": "Hi"}), "not said: x"), ("said", "Hi", "not said: x", Mark.BAD)),
        (
            _effect(Release("c1.1", Key.APP)),
            ("requested a release with the app key", "", "accepted", Mark.PLAIN),
        ),
        (
            _effect(Release("c1.1", Key.INTEGRATION)),
            ("requested a release with the integration's key", "", "accepted", Mark.PLAIN),
        ),
        (_effect(Pass("c1.1", "desk")), ("requested a pass of control to desk", "", "accepted", Mark.PLAIN)),
        (
            _effect(Read("c1.1"), "read: nobody is active"),
            ("read who is active", "", "nobody is active", Mark.PLAIN),
        ),
        (_effect(CleanUp("c1.1", 1, "m:f"), "failed: X"), ("cleaned up: m:f", "", "failed: X", Mark.BAD)),
        (_effect(None, "unreadable: new", "dance"), ("dance", "", "unreadable: new", Mark.BAD)),
    ],
)
def test_effects(effect: PastEffect, line: tuple[str, str, str, Mark]) -> None:
    """What the bot did, and how it went."""
    (shown,) = lines_of(replace(EMPTY, effects=[effect]))
    assert (shown.what, shown.text, shown.note, shown.mark) == line


def test_duties() -> None:
    """What is owed is a warning; what is proven is good; what is void is neither."""
    (owed,) = lines_of(replace(EMPTY, duties=[PastDuty(DUTY, None)]))
    assert (owed.what, owed.note) == ("owes a release: flow complete", "1 attempt; last answer: release: accepted")
    assert owed.mark is Mark.WARNING
    proven = lines_of(replace(EMPTY, duties=[PastDuty(DUTY, Proof("a read showed it", NOW + SECOND))]))
    assert [(line.what, line.mark) for line in proven] == [
        ("owed a release: flow complete", Mark.PLAIN),
        ("done (release)", Mark.GOOD),
    ]
    void = lines_of(replace(EMPTY, duties=[PastDuty(replace(DUTY, attempts=2), Proof("void: gone", NOW))]))
    assert (void[1].what, void[1].note) == ("no longer owed (release)", "void: gone, after 2 attempts")


def test_moments_and_stretches() -> None:
    """Each line knows who was active; the stretches are cut where that changes."""
    moments = [
        Moment(NOW + SECOND, MomentKind.HOLDER, "the bot (bot) is active, by an event", Who.BOT),
        Moment(NOW + SECOND, MomentKind.FLOW_BEGAN, "opening flow began (message)"),
        Moment(NOW + 2 * SECOND, MomentKind.FAILED, "flow failed: ValueError"),
        Moment(NOW + 3 * SECOND, MomentKind.HOLDER, "zd-agentWorkspace is active, by a read", Who.OTHER),
        Moment(NOW + 4 * SECOND, MomentKind.ENDED, "the user ended the conversation"),
        Moment(NOW + 5 * SECOND, MomentKind.HOLDER, "nobody is active, by a read", Who.NOBODY),
        Moment(NOW + 5 * SECOND, MomentKind.PROVEN, "nobody is active"),
    ]
    timeline = replace(EMPTY, events=[_event("conversation:create")], moments=moments)
    cut = stretches(timeline)
    assert [(one.who, one.name, one.how) for one in cut] == [
        (Who.UNKNOWN, "unknown", "no event has shown who is active"),
        (Who.BOT, "the bot", "by an event"),
        (Who.OTHER, "zd-agentWorkspace", "by a read"),
        (Who.NOBODY, "nobody", "by a read"),
    ]
    assert [[line.what for line in one.lines] for one in cut[1:]] == [
        ["opening flow began (message)", "flow failed: ValueError"],
        ["processed the user's end"],
        ["proven: nobody is active"],
    ]
    assert [line.mark for line in lines_of(timeline)][-1] is Mark.GOOD


def test_places() -> None:
    """A place in a listing, there and back; anything else is none."""
    for there in (Place("c1", NOW + timedelta(microseconds=1)), Place("c~1")):
        assert read_place(place(there)) == there
    for wrong in ("", "c1", "~", "x~c1"):
        with pytest.raises(ValueError, match=r"position|invalid"):
            read_place(wrong)


def test_everything_is_escaped() -> None:
    """What is put into a page can't become a part of it, in text or attribute."""
    html = Templates().render("problem.html", status=1, text="<script>'\"&", csrf="", signed_in=False)
    assert "&lt;script&gt;&#39;&#34;&amp;" in html
    assert "<script>" not in html


def test_steps_of_a_flow() -> None:
    """Each has its place in time, with how it went; its values stand apart, and a text only if it is the author's."""
    until = (NOW + SECOND).isoformat()
    told: list[tuple[str, str, Any]] = [
        ("began", "order", {"began": {"text": "SECRET"}, "user": {}, "version": 2}),
        ("say", "#0a1b", {"says": "Welcome."}),
        ("ask", "#0a1c", {"until": until, "place": "orders.py:12", "says": "Your name?"}),
        ("answer", "", {"event": "e1", "text": "SECRET", "payload": None, "message": {}}),
        ("ask", "=mail", {"until": until, "named": "mail"}),
        ("answer", "", None),
        (
            "call",
            "reserve",
            {"result": {"id": 7}, "attempts": 3, "seconds": 0.25, "failure": "TimeoutError"},
        ),
        ("call", "=pay", {"error": "KeyError: 'x'", "attempts": 1, "seconds": 0.0, "function": "charge"}),
        ("on_end", "shop:cancel", {"args": ["r-1"], "kwargs": {}, "attempts": 3, "timeout": 30.0, "when": "always"}),
        ("changed", "ask for the language", None),
        ("gather", "price, stock", {"of": ["price", "=stock"]}),
        ("gathered", "price", {"number": 0, "result": 3, "attempts": 2, "seconds": 0.5, "failure": "OSError"}),
        (
            "gathered",
            "=stock",
            {"number": 1, "error": "OSError: x", "attempts": 1, "seconds": 0.0, "function": "stock"},
        ),
        ("signal", "paid", {"until": until, "place": "orders.py:20"}),
        ("told", "paid", {"until": "SECRET", "place": "SECRET"}),
        ("signalled", "paid", {"told": 1_000_000, "data": {"amount": 7}}),
        ("signalled", "shipped", None),
    ]
    journal = [JournalEntry(1, at, *entry, at=NOW + at * SECOND) for at, entry in enumerate(told)]
    lines = lines_of(replace(EMPTY, journal=journal))
    assert [(line.what, line.note, line.value, line.mark) for line in lines] == [
        ("flow 'order' version 2 began", "", "", Mark.PLAIN),
        ('step 1: say "Welcome."', "", "", Mark.PLAIN),
        ('step 2: ask "Your name?"', "until 2026-03-01 12:00:01; orders.py:12", "", Mark.PLAIN),
        ("step 3: answer", "", "", Mark.PLAIN),
        ("step 4: ask mail", "until 2026-03-01 12:00:01", "", Mark.PLAIN),
        ("step 5: answer", "nobody answered", "", Mark.PLAIN),
        ("step 6: call reserve", "0.25 s; 3 attempts; last failure TimeoutError", '{"id": 7}', Mark.PLAIN),
        ("step 7: call charge", "failed; 0 s", "\"KeyError: 'x'\"", Mark.WARNING),
        ("step 8: on_end shop:cancel", "", '["r-1"]', Mark.PLAIN),
        ("step 9: changed ask for the language", "", "", Mark.PLAIN),
        ("step 10: gather price, stock", "", "", Mark.PLAIN),
        ("step 11: gathered price", "0.5 s; 2 attempts; last failure OSError", "3", Mark.PLAIN),
        ("step 12: gathered stock", "failed; 0 s", '"OSError: x"', Mark.WARNING),
        ("step 13: signal paid", "until 2026-03-01 12:00:01; orders.py:20", "", Mark.PLAIN),
        ("step 15: signalled paid", "", '{"amount": 7}', Mark.PLAIN),
        ("step 16: signalled shipped", "no signal arrived", "", Mark.PLAIN),
    ]
    assert all(line.text == "" for line in lines)


def test_steps_of_an_earlier_version() -> None:
    """Nobody knows when they were taken: they have no line."""
    assert lines_of(replace(EMPTY, journal=[JournalEntry(1, 0, "say", "")])) == []
