"""Tapes as files: what is read, what is written, and how a broken one is told."""

from __future__ import annotations

import gzip
import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.tape import TapedDelivery, TapeError, find_tapes, read_at, read_places, read_tape, write_tape

BODY = {"webhook": {"version": "v2"}, "events": [{"id": "e1", "type": "x", "payload": {}}]}
GOOD = json.dumps({"at": "2026-01-05T09:00:00Z", "body": BODY})
AT = datetime(2026, 1, 5, 9, tzinfo=UTC)


def made_at(time: str) -> str:
    """A line whose second event claims to be of this time."""
    return GOOD.replace("[", "[7, ", 1).replace('"id"', f'"createdAt": "{time}", "id"')


def tape(folder: Path, *lines: str) -> Path:
    path = folder / "a.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    """Plain and compressed; the first line keeps its note."""
    deliveries = [TapedDelivery(AT, BODY, "a story"), TapedDelivery(AT, BODY)]

    for name in ("a.jsonl", "a.jsonl.gz"):
        assert write_tape(tmp_path / name, deliveries) == 2
        assert list(read_tape(tmp_path / name)) == deliveries


def test_gzip_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    """Whatever the name is."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(GOOD.encode()))

    assert [delivery.at for delivery in read_tape(path)] == [AT]


def test_a_tape_can_be_written_by_hand(tmp_path: Path) -> None:
    """Empty lines, another zone, spaces."""
    path = tape(tmp_path, "", GOOD.replace("09:00:00Z", "10:00:00+01:00"), "   ", GOOD)

    assert [delivery.at for delivery in read_tape(path)] == [AT, AT]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ("{}", "at is missing"),
        ('{"at": "yesterday", "body": {}}', "at is missing or not a time"),
        ('{"at": "2026-01-05", "body": {}}', "at is missing or not a time"),
        ('{"at": "2026-01-05T09:00:00Z"}', "body is missing"),
        ('{"at": "2026-01-05T09:00:00Z", "body": {"events": []}}', 'body.webhook.version is not "v2"'),
        ('{"at": "2026-01-05T09:00:00Z", "body": {"webhook": {"version": "v2"}}}', "body.events is missing"),
        (GOOD[:-1] + ', "headers": {}}', 'unknown key "headers"'),
        (GOOD.replace("2026-", "0001-"), "at is missing or not a time like"),
        (GOOD.replace("2026-", "2500-"), "at is missing or not a time like"),
        (GOOD.replace("2026-", "9999-"), "at is missing or not a time like"),
        (made_at("0001-01-01T00:00:00Z"), "event 2: createdAt is 0001-01-01T00:00:00.000000Z, before the year 2000"),
        (made_at("1970-01-01T00:00:00"), "event 2: createdAt is 1970-01-01T00:00:00.000000Z, before the year 2000"),
        (GOOD[:-1] + ', "note": "x"}', "only the first line may have a note"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    """File, line, and what is wrong."""
    path = tape(tmp_path, GOOD, line)

    with pytest.raises(TapeError) as raised:
        list(read_tape(path))

    assert str(raised.value).startswith(f"{path}, line 2: {problem}")


def test_a_compressed_tape_that_is_cut_off_is_named(tmp_path: Path) -> None:
    """The lines before it are read."""
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress((GOOD + "\n").encode() * 2000)[:-20])

    with pytest.raises(TapeError, match=r"a\.jsonl\.gz, line \d+: the compressed file is cut off here"):
        list(read_tape(path))


def test_a_compressed_tape_that_is_broken_is_named(tmp_path: Path) -> None:
    """A bit that fell over in the middle."""
    path = tmp_path / "a.jsonl.gz"
    data = bytearray(gzip.compress("".join(f"{GOOD[:-1]} }}{' ' * (n % 7)}\n" for n in range(3000)).encode()))
    for place in range(len(data) // 2, len(data) // 2 + 40):
        data[place] ^= 0xFF
    path.write_bytes(bytes(data))

    with pytest.raises(TapeError, match=r"a\.jsonl\.gz, line \d+: "):
        list(read_tape(path))


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\x00\x00", b"\x00" * 100, b"PK\x03\x04", b"\xff\xfe{\x00"])
def test_what_is_no_text_is_told_like_every_other_line(tmp_path: Path, content: bytes) -> None:
    """In one line, which quotes nothing of it."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)

    with pytest.raises(TapeError, match=r"a\.jsonl, line 1: not JSON") as raised:
        list(read_tape(path))
    assert "\n" not in str(raised.value)


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    """No delivery is so long."""
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(20):
            file.write(b" " * (1 << 20))
        file.write(b"{")

    with pytest.raises(TapeError, match=r"line 1: the line is longer than 16 MiB"):
        list(read_tape(path))


def test_deliveries_are_found_again_by_their_places(tmp_path: Path) -> None:
    """Plain and compressed; and a tape that has changed meanwhile is told."""
    lines = [TapedDelivery(AT, BODY, "a story"), *(TapedDelivery(AT.replace(second=n), BODY) for n in range(9))]
    for name in ("a.jsonl", "a.jsonl.gz"):
        path = tmp_path / name
        write_tape(path, lines)
        places = [place for place, _ in read_places(path)]

        assert [delivery.at for delivery in read_at(path, places[1::2])] == [one.at for one in lines[1::2]]
        with pytest.raises(TapeError, match="it changed while it was played"):
            list(read_at(path, [places[1] + 3]))


def test_an_error_gets_through_to_another_process() -> None:
    """With its words."""
    error = TapeError("a.jsonl", 3, "not JSON")

    assert str(pickle.loads(pickle.dumps(error))) == "a.jsonl, line 3: not JSON"  # noqa: S301 - our own


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """A file, and tapes in a folder."""
    with pytest.raises(TapeError, match="there is no such file"):
        find_tapes([tmp_path / "none.jsonl"])
    with pytest.raises(TapeError, match="there is no tape in this folder"):
        find_tapes([tmp_path])


def test_a_folder_is_its_tapes(tmp_path: Path) -> None:
    """By their names, in order, also in folders within."""
    (tmp_path / "in").mkdir()
    for name in ("b.jsonl", "in/a.jsonl.gz", "readme.md"):
        (tmp_path / name).write_text("")

    assert find_tapes([tmp_path]) == [tmp_path / "b.jsonl", tmp_path / "in" / "a.jsonl.gz"]
