"""Tapes: recorded webhook deliveries as JSON Lines, one per line, plain or gzip.

    {"at": "2026-01-05T09:00:00.000Z", "body": {"webhook": …, "events": […]}, "note": "…"}

`at` is the time of arrival, `body` the delivery as posted. Only the first line may have a
`note`. There are no other keys, hence no headers and no secrets. Empty lines are skipped,
so that tapes can be written by hand.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from bot.private_files import open_private
from webhooks import wire
from webhooks.fields import PLAUSIBLE_YEARS, iso_time, moment

SUFFIXES = (".jsonl", ".jsonl.gz", ".tape", ".tape.gz", ".ndjson", ".ndjson.gz")
"""File name endings of tapes in a folder."""

LINE_LIMIT = 16 * 1024 * 1024
"""Maximum number of bytes per line; intake accepts deliveries of up to one MiB."""

_GZIP = b"\x1f\x8b"
_KEYS = frozenset({"at", "body", "note"})


class TapeError(ValueError):
    """A tape can't be used; names file, line and problem. `problem` is the last of these."""

    def __init__(self, path: Path | str, line: int | None, problem: str) -> None:
        super().__init__(
            f"{path}: {problem}" if line is None else f"{path}, line {line}: {problem}",
        )
        self.problem = problem
        self._said = (path, line, problem)

    def __reduce__(self) -> tuple[type[TapeError], tuple[Path | str, int | None, str]]:
        """Support pickling, since it may come from another process."""
        return type(self), self._said


@dataclass(frozen=True, slots=True)
class TapedDelivery:
    """One line of a tape.

    Attributes:
        at: time of arrival, aware, in UTC.
        body: the delivery as posted.
        note: the story of the tape (first line only).
    """

    at: datetime
    body: Mapping[str, Any]
    note: str = ""

    @property
    def events(self) -> list[Any]:
        """The events of the delivery, as posted."""
        events: list[Any] = self.body["events"]
        return events


def read_tape(path: Path) -> Iterator[TapedDelivery]:
    """Yield the deliveries of a tape in order of its lines.

    Raises:
        TapeError: the file can't be read, or a line is invalid.
    """
    return (delivery for _, delivery in read_places(path))


def read_places(path: Path) -> Iterator[tuple[int, TapedDelivery]]:
    """Like `read_tape`, with the position of each line in bytes, uncompressed."""
    place, number, first = 0, 0, True
    with _opened(path) as file:
        while True:
            number += 1
            with _told(path, number):
                line = file.readline(LINE_LIMIT + 1)
            if not line:
                return
            if line.strip() or len(line) > LINE_LIMIT:
                yield place, _delivery(path, number, line, first=first)
                first = False
            place += len(line)


def read_at(path: Path, places: Iterable[int]) -> Iterator[TapedDelivery]:
    """Yield the deliveries at these ascending positions.

    Raises:
        TapeError: there is none, because the file has changed.
    """
    with _opened(path) as file:
        for place in places:
            with _told(path, None):
                file.seek(place)
                line = file.readline(LINE_LIMIT + 1)
            try:
                yield _delivery(path, 0, line, first=True)
            except TapeError:
                raise TapeError(path, None, "it changed while it was played") from None


def write_tape(path: Path, deliveries: Iterable[TapedDelivery]) -> int:
    """Write a tape (compressed if the name ends in `.gz`); return its number of deliveries.

    The file appears when it is complete. If `deliveries` raises, no part is left and an
    existing tape stays untouched. Only the owner can read it.
    """
    count = 0
    part = path.with_name(f"{path.name}.part")
    try:
        with (
            open_private(part) as raw,
            gzip.open(raw, "wb") if path.suffix == ".gz" else nullcontext(raw) as file,
        ):
            for delivery in deliveries:
                file.write(tape_line(delivery))
                count += 1
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count


def tape_line(delivery: TapedDelivery) -> bytes:
    """A delivery as a line of a tape, with the line feed."""
    line: dict[str, Any] = {"note": delivery.note} if delivery.note else {}
    return wire.write_json({**line, "at": iso(delivery.at), "body": delivery.body}) + b"\n"


def find_tapes(paths: Iterable[Path]) -> list[Path]:
    """Return the named tapes, and the tapes in the named folders, sorted by name.

    Raises:
        TapeError: a file does not exist, or a folder has no tape.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise TapeError(path, None, "there is no such file")
            found.append(path)
            continue
        inside = sorted(one for one in path.rglob("*") if one.is_file() and one.name.endswith(SUFFIXES))
        if not inside:
            raise TapeError(
                path,
                None,
                f"there is no tape in this folder (names end in {', '.join(SUFFIXES)})",
            )
        found += inside
    return found


def iso(at: datetime) -> str:
    """A time in the format of tapes: UTC, microseconds, Z."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with ExitStack() as stack:
        with _told(path, None):
            file = stack.enter_context(path.open("rb"))
            compressed = file.read(2) == _GZIP
            file.seek(0)
        yield gzip.GzipFile(fileobj=file) if compressed else file


@contextmanager
def _told(path: Path, number: int | None) -> Iterator[None]:
    """Turn errors of the file into `TapeError`."""
    try:
        yield
    except EOFError:
        raise TapeError(path, number, "the compressed file is cut off here") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise TapeError(path, number, f"the compressed file is broken here: {error}") from None
    except OSError as error:
        raise TapeError(path, None, f"can't be read: {error.strerror or error}") from None


def _delivery(path: Path, number: int, line: bytes, *, first: bool) -> TapedDelivery:
    if len(line) > LINE_LIMIT:
        raise TapeError(
            path,
            number,
            f"the line is longer than {LINE_LIMIT >> 20} MiB, which no delivery is",
        )
    try:
        value = wire.read_json(line)
    except ValueError as error:
        raise TapeError(path, number, f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise TapeError(path, number, 'not an object like {"at": …, "body": …}')
    if unknown := sorted(map(str, value.keys() - _KEYS)):
        raise TapeError(
            path,
            number,
            f"unknown key {json.dumps(unknown[0])}; a line has only at, body and note",
        )
    if "note" in value and not (first and isinstance(value["note"], str)):
        wrong = "note is not a text" if first else "only the first line may have a note"
        raise TapeError(path, number, wrong)
    if (at := moment(value.get("at"))) is None:
        raise TapeError(
            path,
            number,
            "at is missing or not a time like 2026-01-05T09:00:00Z, in the years 2000 to 2099",
        )
    body = value.get("body")
    if not isinstance(body, dict):
        raise TapeError(path, number, "body is missing or not an object")
    if problem := _wrong_with(body) or _too_old(body["events"]):
        raise TapeError(path, number, problem)
    return TapedDelivery(at, body, value.get("note", ""))


def _too_old(events: list[Any]) -> str | None:
    """Describe an event older than the platform. Future times are fine: clocks may be wrong."""
    for place, event in enumerate(events, 1):
        made = iso_time(event.get("createdAt")) if isinstance(event, Mapping) else None
        if made and made.year < PLAUSIBLE_YEARS.start:
            return f"event {place}: createdAt is {iso(made)}, before the year {PLAUSIBLE_YEARS.start}"
    return None


def _wrong_with(body: Mapping[str, Any]) -> str | None:
    webhook = body.get("webhook")
    if not isinstance(webhook, Mapping) or webhook.get("version") != "v2":
        return 'body.webhook.version is not "v2": not a delivery of API v2'
    if not isinstance(body.get("events"), list):
        return "body.events is missing or not a list"
    return None
