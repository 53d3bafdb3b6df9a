"""Tapes as files: what is read, what is written, and how a broken one is told."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.replay.tape import TapedDelivery, TapeError, find_tapes, read_tape, write_tape

BODY = {"webhook": {"version": "v2"}, "events": [{"id": "e1", "type": "x", "payload": {}}]}
GOOD = json.dumps({"at": "2026-01-05T09:00:00Z", "body": BODY})
AT = datetime(2026, 1, 5, 9, tzinfo=UTC)


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
        ("{", "it is not JSON"),
        ("[]", "it is no object"),
        ("{}", "at is missing"),
        ('{"at": "yesterday", "body": {}}', "at is missing or no time"),
        ('{"at": "2026-01-05", "body": {}}', "at is missing or no time"),
        ('{"at": "2026-01-05T09:00:00Z"}', "body is missing"),
        ('{"at": "2026-01-05T09:00:00Z", "body": {"events": []}}', 'body.webhook.version is not "v2"'),
        ('{"at": "2026-01-05T09:00:00Z", "body": {"webhook": {"version": "v2"}}}', "body.events is missing"),
        (GOOD[:-1] + ', "headers": {}}', 'there is a key "headers"'),
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
