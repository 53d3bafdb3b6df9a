"""`Answer`: what the user said, tapped, sent or filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.flows.content import Choice
from bot.flows.message import Carrier


@dataclass(frozen=True, slots=True)
class Answer(Carrier):
    """The user's reply to a question: typed, tapped, sent or filled in.

    Attributes:
        text: the words, or the label of the tapped choice or button; a form's
            answers as lines; empty for pictures and other attachments.
        payload: the payload of the tapped quick reply or button; None for typed
            words.
        choice: the question's choice or button that was tapped or typed; None if
            none matches. A typed label matches in any case and Unicode form, in
            quotation marks, or with a full stop. Its number in the list matches too.
        message: the message (or postback) as the platform posted it.
    """

    text: str
    payload: str | None = None
    message: Mapping[str, Any] = field(default_factory=dict)
    choice: Choice | None = None
