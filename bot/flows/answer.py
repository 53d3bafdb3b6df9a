"""`Answer`: what the user said, tapped, sent or filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.flows.content import Choice
from bot.flows.message import Carrier


@dataclass(frozen=True, slots=True)
class Answer(Carrier):
    """What the user said or tapped.

    Attributes:
        text: the words, or the label of the tapped choice or button; a form's answers as lines; empty for pictures and
            the like.
        payload: what a quick reply or a button carries; None for typed words.
        choice: which of the question's choices or buttons it is, tapped or typed; None: none of them. Typed counts in
            any case and Unicode form, in quotation marks, with a full stop; and so does its number in the list.
        message: the message (or postback) as the platform posted it.
    """

    text: str
    payload: str | None = None
    message: Mapping[str, Any] = field(default_factory=dict)
    choice: Choice | None = None
