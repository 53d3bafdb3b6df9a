"""What an answer of the platform means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sunshine_samples import NOON

from bot.sunshine import (
    Gone,
    Locked,
    NoAnswer,
    NotOurs,
    RateLimited,
    Refused,
    ServerError,
    SunshineError,
    Unauthorized,
)
from bot.sunshine.replies import holds_from, read_reply, retry_after

NOON_DATE = "Sun, 22 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, NoAnswer),  # not followed; a POST behind it may have been carried out
        (304, NoAnswer),
        (400, Refused),
        (401, Unauthorized),
        (402, Refused),
        (403, NotOurs),
        (404, Gone),
        (408, NoAnswer),  # the platform stopped waiting, with or without having read it all
        (409, Refused),
        (413, Refused),
        (422, Refused),
        (423, Locked),
        (429, RateLimited),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
        (599, ServerError),
    ],
)
def test_each_status_is_one_error(status: int, error: type[SunshineError]) -> None:
    response = httpx2.Response(status, json={"errors": [{"code": "some_code", "title": "In words"}]})
    with pytest.raises(SunshineError) as raised:
        read_reply("pass_control", response, NOON)
    assert type(raised.value) is error
    assert raised.value.status == status
    assert raised.value.action == "pass_control"


def test_code_and_title_are_the_first_errors() -> None:
    response = httpx2.Response(404, json={"errors": [{"code": "a", "title": "A"}, {"code": "b", "title": "B"}]})
    with pytest.raises(Gone) as raised:
        read_reply("get_app", response, NOON)
    assert (raised.value.code, raised.value.title) == ("a", "A")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"errors": []}',
        b'{"errors": "no"}',
        b'{"errors": ["no"]}',
        b'{"errors": [{"code": 7, "title": null}]}',
        b'{"errors": [{"code": "my secret text, quoted"}]}',  # no code looks like that
    ],
)
def test_an_error_without_a_readable_code_is_still_its_error(body: bytes) -> None:
    with pytest.raises(Gone) as raised:
        read_reply("get_app", httpx2.Response(404, content=body), NOON)
    assert (raised.value.code, raised.value.title) == ("", "")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b'"ok"', b"{", b"\xff"])
def test_a_success_that_can_not_be_read_is_no_answer(body: bytes) -> None:
    with pytest.raises(NoAnswer):
        read_reply("release_control", httpx2.Response(200, content=body), NOON)


@pytest.mark.parametrize(("status", "body"), [(200, b"{}"), (200, b""), (204, b"")])
def test_an_empty_success_is_a_success(status: int, body: bytes) -> None:
    assert read_reply("release_control", httpx2.Response(status, content=body), NOON).body == {}


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30),  # the old forms of RFC 9110 as well
        ("Sun Nov 22 12:00:30 2026", 30),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),  # has passed
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1" * 5000, None),
        ("Sun, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_seconds_or_a_date(status: int, value: str, wait: float | None) -> None:
    headers = {"Retry-After": value, "Date": NOON_DATE}
    with pytest.raises((RateLimited, ServerError)) as raised:
        read_reply("get_app", httpx2.Response(status, headers=headers), NOON)
    assert raised.value.retry_after == (None if wait is None else timedelta(seconds=wait))


def test_a_date_to_retry_after_is_measured_by_the_platforms_clock() -> None:
    date = "Sun, 22 Nov 2026 12:00:30 GMT"
    wrong_clock = datetime(2026, 11, 22, 9, tzinfo=UTC)
    right_clock = datetime(2026, 11, 22, 12, 0, 10, tzinfo=UTC)
    assert retry_after(httpx2.Headers({"Retry-After": date, "Date": NOON_DATE}), wrong_clock) == timedelta(seconds=30)
    assert retry_after(httpx2.Headers({"Retry-After": date}), right_clock) == timedelta(seconds=20)


@pytest.mark.parametrize(
    ("date", "started", "at"),
    [
        # Clocks agree: the request began before the answer was dated, so it is the earlier one.
        (NOON_DATE, "12:00:00.500000", "12:00:00.500000"),
        # Our clock is an hour behind: too early is safe.
        (NOON_DATE, "11:00:00.000000", "11:00:00.000000"),
        # Our clock is ahead: the platform's date counts, plus the fraction that it has lost.
        (NOON_DATE, "12:00:01.000001", "12:00:01.000000"),
        (NOON_DATE, "15:30:00.000000", "12:00:01.000000"),
        # No date that can be read: our own clock is all there is.
        (None, "12:00:00.500000", "12:00:00.500000"),
        ("", "12:00:00.500000", "12:00:00.500000"),
        ("yesterday", "12:00:00.500000", "12:00:00.500000"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "12:00:00.500000", "12:00:00.500000"),
    ],
)
def test_a_read_holds_from_its_beginning_by_the_earlier_clock(date: str | None, started: str, at: str) -> None:
    def on_the_day(time: str) -> datetime:
        return datetime.fromisoformat(f"2026-11-22T{time}+00:00")

    assert holds_from(date, on_the_day(started)) == on_the_day(at)
