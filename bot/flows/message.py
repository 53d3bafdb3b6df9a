"""The content of a user's message besides text: files, a location, form fields, metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.flows.defuse import undefused


@dataclass(frozen=True, slots=True)
class Attachment:
    """A picture or a file sent by the user.

    Attributes:
        url: its address. With private attachments on, downloading needs the API key.
        type: the MIME type, if known.
        name: the file's name or description, if known.
        size: in bytes, if known.
    """

    url: str
    type: str = ""
    name: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """A location shared by the user, in degrees."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""


class Carrier:
    """Base class for objects with a `message` as the platform posted it."""

    __slots__ = ()

    message: Mapping[str, Any]

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The picture or file in the message."""
        content = self._content
        url = content.get("mediaUrl")
        if not isinstance(url, str) or not url:
            return ()
        size = content.get("mediaSize")
        return (
            Attachment(
                url,
                _text(content.get("mediaType")),
                _text(content.get("altText")),
                int(size) if isinstance(size, int | float) else None,
            ),
        )

    @property
    def location(self) -> Location | None:
        """The shared location."""
        match self._content:
            case {
                "coordinates": {
                    "lat": int() | float() as latitude,
                    "long": int() | float() as longitude,
                },
                **rest,
            }:
                shown = rest.get("location")
                place: Mapping[str, Any] = shown if isinstance(shown, Mapping) else {}
                return Location(
                    latitude,
                    longitude,
                    _text(place.get("name")),
                    _text(place.get("address")),
                )
            case _:
                return None

    @property
    def fields(self) -> dict[str, str]:
        """The values of a form, by field name; empty if the user wrote something instead.

        For a select field, the chosen option's payload (its text if it has none).
        """
        fields = self._content.get("fields")
        if self._content.get("type") != "formResponse" or not isinstance(fields, list):
            return {}
        named = (field for field in fields if isinstance(field, Mapping) and "name" in field)
        return {undefused(str(field["name"])): _filled_in(field) for field in named}

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The message's metadata, set by the channel, the widget or the tapped button."""
        metadata = self.message.get("metadata")
        return metadata if isinstance(metadata, Mapping) else {}

    @property
    def _content(self) -> Mapping[str, Any]:
        content = self.message.get("content")
        return content if isinstance(content, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _filled_in(field: Mapping[str, Any]) -> str:
    value = field.get(str(field.get("type")))
    match value:
        case str():
            return value
        case [{"name": str(name)}, *_]:
            return undefused(name)
        case _:
            return ""
