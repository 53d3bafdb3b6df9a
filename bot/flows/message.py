"""What a message of the user carries besides words: pictures and files, a place, a form's fields, metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.flows.defuse import undefused


@dataclass(frozen=True, slots=True)
class Attachment:
    """A picture or a file that the user sent.

    Attributes:
        url: where it is. With private attachments on, the address wants the API key.
        type: the MIME type, where it is known.
        name: the file's name or description, where it is known.
        size: bytes, where it is known.
    """

    url: str
    type: str = ""
    name: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """A place that the user shared, in degrees."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""


class Carrier:
    """Base of what holds a `message` as the platform posted it, and reads what the message carries."""

    __slots__ = ()

    message: Mapping[str, Any]

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The picture or file that was sent."""
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
        """The place that was shared."""
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
        """What was filled into a form, by the fields' names; empty where the user wrote something instead.

        Of a select field it is the chosen option's payload (its text where it has none).
        """
        fields = self._content.get("fields")
        if self._content.get("type") != "formResponse" or not isinstance(fields, list):
            return {}
        named = (field for field in fields if isinstance(field, Mapping) and "name" in field)
        return {undefused(str(field["name"])): _filled_in(field) for field in named}

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The message's metadata: what the channel, the widget or the tapped button has put there."""
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
