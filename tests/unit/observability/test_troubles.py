"""The first failure is told at once, then ever more rarely, and the end of a trouble once."""

from __future__ import annotations

import pytest

from bot.control.facts import Answer
from bot.observability import ApiKey, Metrics, Watch
from bot.observability.api_troubles import trouble_of
from bot.signals import Level, Signal
from bot.store import Unavailable
from bot.sunshine import Call
from bot.troubles import CALM, FLAPPING, FORGOTTEN, MAX_PLACES, Troubles, What, database_failed

OWN, APP = ApiKey("SUNSHINE_KEY"), ApiKey("SUNSHINE_APP_KEY", app_scoped=True)


class Told:
    """Troubles on a clock that the test moves, and the lines that they tell."""

    def __init__(self) -> None:
        self.now = 0.0
        self.signals: list[Signal] = []
        self.troubles = Troubles(self.signals.append, lambda: self.now)

    def passes(self, seconds: float, what: What | None = None, *, works: bool = False, every: float = 1.0) -> None:
        """Let time pass. Each `every` seconds something of the kind fails or works, and the troubles look."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + every)
            if what and works:
                self.troubles.works(what)
            elif what:
                self.fails(what)
            self.troubles.look()

    def fails(self, what: What) -> None:
        """Something fails."""
        self.troubles.failed(what, "it failed", "Mend it.", status=500)

    @property
    def lines(self) -> list[str]:
        """The events so far."""
        return [signal.event for signal in self.signals]


@pytest.fixture
def told() -> Told:
    """Nothing has failed yet."""
    return Told()


def test_a_call_without_an_answer() -> None:
    """It is told while the call waits, and its answer ends the trouble."""
    signals: list[Signal] = []
    watch = Watch(Metrics(), None, [signals.append])
    watch.late_with(OWN)("release_control")
    assert [(signal.event, signal.fields["what"]) for signal in signals] == [("trouble_began", "api")]
    assert "release_control: no answer for 5 s" in str(signals[0].fields["problem"])
    assert watch.troubles.fails(What.API)
    watch.calls_with(OWN)(Call("release_control", Answer.ACCEPTED, 200, 6.0))
    assert not watch.troubles.fails(What.API)


def test_the_first_failure_is_told_at_once(told: Told) -> None:
    """With all that an operator needs."""
    told.fails(What.API)
    (signal,) = told.signals
    assert signal.fields == {"what": "api", "problem": "it failed", "status": 500, "todo": "Mend it."}
    assert told.troubles.lasts(What.API)
    assert told.troubles.fails(What.API) == "it failed"


def test_what_lasts_is_told_ever_more_rarely(told: Told) -> None:
    """After 1, 4 and 16 minutes: however many failures there are, at most three lines in ten minutes."""
    told.fails(What.DATABASE)
    times = []
    for second in range(1, 20 * 60):
        before = len(told.lines)
        told.passes(1, What.DATABASE, every=0.125)
        times += [second] if len(told.lines) > before else []
    assert times == [60, 240, 960]
    assert told.signals[-1].fields["times"] == 960 * 8 + 1


def test_two_keys_that_are_refused_last_together(told: Told) -> None:
    """Each is told when it begins; that they last is told once for both. Two functions may have two causes."""
    for second in range(10 * 60):
        told.now = second
        for what, names in ((What.KEY, ("SUNSHINE_KEY", "SUNSHINE_APP_KEY")), (What.BACKEND, ("price", "stock"))):
            for name in names[: 1 + (second >= 40)]:  # the second is used a little later
                told.troubles.failed(what, "it failed", "Mend it.", where=name)
        told.troubles.look()
    lasting = [signal.fields["where"] for signal in told.signals if signal.event == "trouble_lasts"]
    assert sorted(map(str, lasting)) == ["SUNSHINE_KEY"] * 2 + ["price"] * 2 + ["stock"] * 2
    assert told.lines.count("trouble_began") == 4


def test_what_is_not_tried_again_is_not_told_again(told: Told) -> None:
    """Nobody knows whether it lasts; after an hour it is forgotten."""
    told.fails(What.BACKEND)
    told.passes(FORGOTTEN - 2)
    assert told.lines == ["trouble_began"]
    told.passes(2)
    assert told.lines == ["trouble_began", "trouble_over"]


def test_the_end_is_told_with_how_long_and_how_often(told: Told) -> None:
    """Once nothing has failed for a while; until then it lasts, though it does not fail any more."""
    told.fails(What.KEY)
    told.passes(30, What.KEY)
    told.passes(CALM - 1, What.KEY, works=True)
    assert told.troubles.fails(What.KEY) == ""
    assert told.troubles.lasts(What.KEY)
    told.passes(2, What.KEY, works=True)
    assert not told.troubles.lasts(What.KEY)
    assert told.lines == ["trouble_began", "trouble_over"]
    assert told.signals[-1].fields == {"what": "key", "seconds": 31.0, "times": 31}


def test_what_comes_and_goes_fills_no_log(told: Told) -> None:
    """A rate limit met again and again: at most five lines in ten minutes."""
    for _ in range(20):
        told.passes(15, What.RATE_LIMIT)
        told.passes(15, What.RATE_LIMIT, works=True)
    assert told.now == 600
    assert 2 <= len(told.lines) <= 5
    told.passes(FLAPPING + CALM, What.RATE_LIMIT, works=True)
    told.fails(What.RATE_LIMIT)
    assert told.lines[-1] == "trouble_began"


@pytest.mark.parametrize(
    ("what", "first", "later"),
    [
        (What.KEY, Level.ERROR, Level.ERROR),
        (What.DATABASE, Level.ERROR, Level.ERROR),
        (What.API, Level.WARNING, Level.ERROR),
        (What.BACKEND, Level.WARNING, Level.ERROR),
        (What.RATE_LIMIT, Level.WARNING, Level.WARNING),
    ],
)
def test_an_error_is_what_an_operator_must_mend(told: Told, what: What, first: Level, later: Level) -> None:
    """At once, or because it does not pass by itself."""
    told.passes(70, what)
    assert [signal.level for signal in told.signals] == [first, later]


def test_a_success_without_a_trouble_is_nothing(told: Told) -> None:
    """It costs nothing either."""
    told.troubles.works(What.API)
    told.troubles.look()
    assert told.lines == []
    assert told.troubles.lasting() == []


def test_places_are_told_apart_within_bounds(told: Told) -> None:
    """Each function behind `chat.call` has a line of its own, up to a limit."""
    for number in range(3 * MAX_PLACES):
        told.troubles.failed(What.BACKEND, "it failed", "Mend it.", where=f"function{number}")
    assert len(told.lines) == MAX_PLACES + 1
    told.troubles.works(What.BACKEND, "function1")
    told.now = CALM
    told.troubles.look()
    assert told.signals[-1].fields["where"] == "function1"
    assert told.troubles.lasting()[0].where == "other"


@pytest.mark.parametrize(
    ("call", "key", "what"),
    [
        (("post_message", 201, "", ""), OWN, None),
        (("post_message", 401, "unauthorized", "x"), OWN, What.KEY),
        (("post_message", 403, "forbidden", "x"), OWN, What.KEY),
        (("release_control", 403, "forbidden", "x"), OWN, None),  # another integration has control
        (("release_control", 403, "forbidden", "x"), APP, What.KEY),
        (("get_conversation", 404, "app_not_found", "x"), OWN, What.APP),
        (("get_conversation", 404, "conversation_not_found", "x"), OWN, None),
        (("post_message", 400, "bad_request", "x"), OWN, None),
        (("post_message", 408, "", "x"), OWN, What.API),
        (("post_message", 429, "too_many_requests", "x"), OWN, What.RATE_LIMIT),
        (("post_message", 503, "", "x"), OWN, What.API),
        (("get_conversation", 301, "", "x"), OWN, What.API),
        (("get_conversation", 200, "", "the body is not a JSON object"), OWN, What.API),
        (("get_conversation", None, "", "not sent"), OWN, What.API),
        (("post_activity", None, "", ""), OWN, None),  # cancelled
    ],
)
def test_what_a_call_says(call: tuple[str, int | None, str, str], key: ApiKey, what: What | None) -> None:
    """A key that may not do one thing is not a key that is refused."""
    action, status, code, problem = call
    assert trouble_of(Call(action, Answer.UNCLEAR, status, 0.1, code, problem), key) is what


def test_calls_show_in_log_and_metrics() -> None:
    """Each key has its own trouble; a success with one says nothing of the other."""
    signals: list[Signal] = []
    watch = Watch(Metrics(), hooks=[signals.append])
    refused = Call("post_message", Answer.REFUSED, 401, 0.1, "unauthorized", "the API key is wrong (401 unauthorized)")
    fine = Call("get_conversation", Answer.ACCEPTED, 200, 0.1)
    for key in (OWN, APP):
        watch.calls_with(key)(refused)
    watch.calls_with(APP)(fine)
    assert [signal.fields["where"] for signal in signals] == ["SUNSHINE_KEY", "SUNSHINE_APP_KEY"]
    assert "SUNSHINE_KEY_ID and SUNSHINE_KEY_SECRET" in str(signals[0].fields["todo"])
    assert watch.troubles.fails(What.KEY)
    page = watch.metrics.show(None).decode()
    assert 'switchboard_trouble{what="key"} 1.0' in page
    assert 'switchboard_trouble{what="api"} 0.0' in page


async def test_what_can_not_be_stored_is_told() -> None:
    """With the database's own reason; a delivery that is stored ends it."""
    signals: list[Signal] = []
    watch = Watch(Metrics(), hooks=[signals.append])
    errors: list[Exception] = [Unavailable("the disk is full; make room"), OSError(28, "No space left on device")]

    async def store(_: object) -> int:
        if errors:
            raise errors.pop(0)
        return 0

    stored = watch.stored(store)
    for _ in range(2):
        with pytest.raises((Unavailable, OSError)):
            await stored([])
    assert [signal.fields["problem"] for signal in signals] == ["the disk is full; make room"]
    assert watch.troubles.fails(What.DATABASE) == "No space left on device"
    await stored([])
    assert watch.troubles.fails(What.DATABASE) == ""


def test_an_error_without_words_has_its_type(told: Told) -> None:
    """So that no line is empty."""
    database_failed(told.troubles, Unavailable())
    assert told.signals[0].fields["problem"] == "Unavailable"
