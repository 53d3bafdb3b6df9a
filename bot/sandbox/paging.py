"""Cursor pagination: a page of a list after or before a cursor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from bot.sandbox.errors import ApiError, bad_request
from bot.sandbox.records import Json

T = TypeVar("T")

PAGE = 25
"""Default number of records per page."""

LARGEST_PAGE = 100


def page(
    records: Sequence[T],
    id_of: Callable[[T], str],
    query: Mapping[str, str],
) -> tuple[Sequence[T], Json]:
    """Return a page of a list, oldest first.

    Args:
        records: the whole list.
        id_of: returns a record's id, which cursors use.
        query: the request's parameters; uses `page[after]`, `page[before]`, `page[size]`.

    Returns:
        The page, and its `meta` and `links` for the reply.

    Raises:
        ApiError: 400, a parameter is invalid.
    """
    size = _size(query.get("page[size]"))
    before, after = query.get("page[before]"), query.get("page[after]")
    if before is not None and after is not None:
        raise _invalid()
    ids = [id_of(record) for record in records]
    first = _place(ids, after) + 1 if after is not None else 0
    last = min(len(records), first + size)
    if before is not None:
        last = _place(ids, before)
        first = max(0, last - size)
    shown = ids[first:last]
    meta: Json = {"hasMore": first > 0 if before is not None else last < len(records)}
    if shown and first > 0:
        meta["beforeCursor"] = shown[0]
    if shown and last < len(records):
        meta["afterCursor"] = shown[-1]
    return records[first:last], {"meta": meta, "links": {}}


def _size(given: str | None) -> int:
    try:
        size = PAGE if given is None else int(given)
    except ValueError:
        raise _invalid() from None
    if not 1 <= size <= LARGEST_PAGE:
        raise _invalid()
    return size


def _place(ids: Sequence[str], cursor: str) -> int:
    if cursor not in ids:
        raise _invalid()
    return ids.index(cursor)


def _invalid() -> ApiError:
    return bad_request("Invalid page query parameters")
