"""Checks of messages and metadata, and control shorthand (docs/platform.md, 2 and 5)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from bot.sandbox.errors import bad_request, items
from bot.sandbox.records import Json

MAX_TEXT = 4096
MAX_METADATA_BYTES = 4096
_TEXT_KEYS = ("text", "htmlText", "markdownText")
_ACTION_KEYS: Mapping[str, tuple[str, ...]] = {
    "reply": ("text", "payload"),
    "postback": ("text", "payload"),
    "link": ("text", "uri"),
    "webview": ("text", "uri", "fallback"),
    "buy": ("text", "amount"),
    "locationRequest": ("text",),
}
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "text": (),
    "form": ("fields",),
    "carousel": ("items",),
    "list": ("items",),
    "image": ("mediaUrl",),
    "file": ("mediaUrl",),
    "location": ("coordinates",),
    "template": ("template",),
}
_FROM_USERS = ("text", "image", "file", "location")
_SHORTHAND = re.compile(r"%\(\(switchboard:passControl(?::([^()%\s]+))?\)\)%")


def check_metadata(metadata: Any) -> None:
    """Raise 400 unless it is flat (strings, numbers, booleans) and at most 4 KB."""
    if metadata is None:
        return
    if not isinstance(metadata, dict) or not all(isinstance(v, str | int | float | bool) for v in metadata.values()):
        raise bad_request("Metadata must be a flat object of strings, numbers and booleans.")
    if len(json.dumps(metadata, ensure_ascii=False).encode("utf-8", "replace")) > MAX_METADATA_BYTES:
        raise bad_request(f"Metadata is limited to {MAX_METADATA_BYTES} bytes.")


def check_content(content: Any) -> Json:
    """Return the content of a business message, or raise 400 with the reason."""
    if not isinstance(content, dict):
        raise bad_request("A message needs content.")
    kind = content.get("type")
    if not isinstance(kind, str) or kind not in _REQUIRED:
        raise bad_request(f"A business message can't have content of the type {kind!r}.")
    for key in _REQUIRED[kind]:
        if not content.get(key):
            raise bad_request(f"Content of the type {kind} needs {key}.")
    for key in _TEXT_KEYS:
        text = content.get(key) or ""
        if not isinstance(text, str):
            raise bad_request(f"{key} must be a string.")
        if len(text) > MAX_TEXT:
            raise bad_request(f"{key} is limited to {MAX_TEXT} characters.")
    if kind == "text" and not any(content.get(key) for key in (*_TEXT_KEYS, "actions")):
        raise bad_request("Content of the type text needs text or actions.")
    for action in items(content, "actions"):
        _check_action(action)
    return content


def check_user_content(content: Any) -> Json:
    """Return the content of a user's message, or raise 400 with the reason."""
    if isinstance(content, dict) and content.get("type") == "formResponse":
        if not isinstance(content.get("fields"), list) or not content["fields"]:
            raise bad_request("Content of the type formResponse needs fields.")
        fallback = "\n".join(str(field.get("label", "")) for field in content["fields"] if isinstance(field, dict))
        return {"textFallback": fallback, **content}
    checked = check_content(content)
    if checked["type"] not in _FROM_USERS:
        raise bad_request(f"A user's message can't have content of the type {checked['type']!r}.")
    return checked


def take_shorthand(content: Json) -> tuple[Json, str | None]:
    """Find the control shorthand in the text of a business message.

    Returns:
        The content without the shorthand, and its target (`next` if it names none), or
        None.
    """
    target: str | None = None
    cleaned = dict(content)
    for key in _TEXT_KEYS:
        text = content.get(key)
        if isinstance(text, str) and (found := _SHORTHAND.search(text)):
            target = target or found.group(1) or "next"
            cleaned[key] = _SHORTHAND.sub("", text).strip()
    return cleaned, target


def _check_action(action: Any) -> None:
    if not isinstance(action, dict) or action.get("type") not in _ACTION_KEYS:
        raise bad_request("An action needs one of the known types.")
    for key in _ACTION_KEYS[action["type"]]:
        if not action.get(key):
            raise bad_request(f"An action of the type {action['type']} needs {key}.")
    check_metadata(action.get("metadata"))
