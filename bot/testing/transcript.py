"""Formats messages and failures as the lines that tests compare."""

from __future__ import annotations

from bot.engine.delivery import EFFECT_KEY
from bot.sandbox.history import Entry, Kind
from bot.sandbox.records import Json
from bot.signals import Signal


def failure_of(signal: Signal) -> str:
    """Return a failure signal as one line."""
    detail = str(signal.fields.get("detail", ""))
    if detail and signal.event.startswith("flow"):
        return detail
    words = signal.event.replace("_", " ")
    return f"{words}: {detail}" if detail else words


def speaker_of(entry: Entry) -> str:
    """Return the speaker: "user", "bot" or "agent"."""
    if entry.kind is Kind.POSTBACK or entry.detail["author"] != "business":
        return "user"
    return "bot" if EFFECT_KEY in (entry.metadata or {}) else "agent"


def words_of(entry: Entry) -> str:
    """Return a message as one line."""
    if entry.kind is Kind.POSTBACK:
        return f"[taps {entry.text}]"
    content: Json = entry.detail["content"]
    shown = str(content.get("text") or "")
    match content["type"]:
        case "text":
            return shown
        case "carousel":
            what = " | ".join(str(card["title"]) for card in content["items"])
        case "form":
            what = ", ".join(str(field["label"]) for field in content["fields"])
        case "formResponse":
            what = str(content["textFallback"]).replace("\n", ", ")
        case "location":
            what = f"{content['coordinates']['lat']}, {content['coordinates']['long']}"
        case _:
            what = str(content.get("mediaUrl", ""))
    return f"[{content['type']}: {what}]{f' {shown}' if shown else ''}"
