"""What a step of a flow is, by which the journal knows it again, and where in the flow's code it stands.

A step is known by its kind, and by its text or its function, or by the `key=` that its author gives. Of a text the
journal keeps a digest, so that it holds nobody's words; of a text that stands in the flow's code also the text itself,
for operators.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType

from bot.flows.authoring import FlowMisuse
from bot.flows.content import Carousel, Content, File, Form, Image, Text
from bot.store.interface import JournalEntry

KEY_LIMIT = 64  # characters
LONGEST_SHOWN = 80  # characters of a text for operators
_DIGEST, _KEYED = (
    "#",
    "=",
)  # how a stored key begins that is a text's digest, or that the author has given
_HERE = str(Path(__file__).parent)
_ENGINE = str(Path(__file__).parents[1] / "engine")
_SAMPLES = frozenset({"assistant.py", "survey.py", "triage.py"})  # flows that stand beside the authoring API


@dataclass(frozen=True, slots=True)
class Step:
    """A step that the code wants to take.

    Attributes:
        kind: say, ask, call, ….
        name: digest of its text, or the name of its function or signal; empty where the kind says all.
        key: as the author has given it, or empty.
        text: its text, to tell operators if it stands in the flow's code.
        parts: the calls of a `gather`, by which that is known if it has no key.
    """

    kind: str
    name: str = ""
    key: str = ""
    text: str = ""
    parts: tuple[Step, ...] = ()

    @property
    def is_named(self) -> bool:
        """Is its name one of the code's, and no digest?"""
        return bool(self.name) and not self.name.startswith(_DIGEST)

    @property
    def stored(self) -> str:
        """As the journal's `key` has it."""
        return f"{_KEYED}{self.key}" if self.key else self.name

    def fits(self, entry: JournalEntry) -> bool:
        """Is that entry this step? Earlier versions of the bot stored no text: there the kind is all there is."""
        if entry.kind != self.kind:
            return False
        if self.parts and not entry.key.startswith(_KEYED):
            known = entry.data["of"]
            return len(known) == len(self.parts) and all(map(Step._is_known_by, self.parts, known))
        return self._is_known_by(entry.key)

    def _is_known_by(self, key: str) -> bool:
        return key == self.name or (key == self.stored if key else self.name.startswith(_DIGEST))

    def __str__(self) -> str:
        text = self.text if self.text and is_written(self.text) else ""
        key = self.key if self.key and is_written(self.key) else ""
        return _described(self.kind, text, key or (self.name if self.is_named else ""))


def text_step(kind: str, content: Content, key: str | None = None) -> Step:
    """The step that says some content. Raises `FlowMisuse`: no such key."""
    match content:
        case Text(text) | Image(_, text) | File(_, text):
            words = [str(text)]
        case Form(fields, text):
            words = [str(text), *(str(field.name) for field in fields)]
        case Carousel(cards):
            words = [str(card.title) for card in cards]
    return _text_step(kind, checked_key(key), type(content).__name__, *words)


@lru_cache(maxsize=512)  # each turn takes the steps of earlier ones once more
def named_step(kind: str, name: str = "", key: str = "") -> Step:
    """The step of a function or a signal, or one of which the kind says all."""
    return Step(kind, name, key)


@lru_cache(maxsize=512)
def _text_step(kind: str, key: str, *words: str) -> Step:
    digest = hashlib.blake2b("\0".join(words).encode("utf-8", "replace"), digest_size=6)
    return Step(kind, f"{_DIGEST}{digest.hexdigest()}", key, words[1] if len(words) > 1 else "")


def checked_key(key: str | None) -> str:
    """The key of a step; empty if none is given. Raises `FlowMisuse`: it is no short text."""
    if key is None:
        return ""
    given: object = key
    if not isinstance(given, str) or not 0 < len(given) <= KEY_LIMIT:
        raise FlowMisuse(f"the key of a step is a text of 1 to {KEY_LIMIT} characters")
    return key


def described(entry: JournalEntry) -> str:
    """A step of the journal for operators and logs: nothing that anybody said."""
    data = entry.data if isinstance(entry.data, dict) else {}
    if entry.key.startswith(_DIGEST):
        return _described(entry.kind, str(data.get("says", "")), "")
    if entry.key.startswith(_KEYED):
        named = data.get("function") or data.get("named", "")
        return _described(entry.kind, str(data.get("says", "")), str(named))
    return _described(entry.kind, "", entry.key)


def told_apart_by(entry: JournalEntry) -> str:
    """By what a step differs from a step of the journal whose description is the same: "text" or "key"."""
    return "text" if not entry.key or entry.key.startswith(_DIGEST) else "key"


def _described(kind: str, text: str, name: str) -> str:
    shown = f"{text[:LONGEST_SHOWN]}…" if len(text) > LONGEST_SHOWN else text
    return " ".join(filter(None, (kind, name, f'"{shown}"' if shown else "")))


# -- where the code stands --------------------------------------------------------------------------------------------


def place_in_code() -> str:
    """File and line of the flow's code that wants the step which is being taken."""
    frame = next(_frames(), None)
    return f"{_name_of(frame.f_code.co_filename)}:{frame.f_lineno}" if frame else "an unknown place"


@lru_cache(maxsize=256)
def _name_of(file: str) -> str:
    return Path(file).name


def is_written(text: str) -> bool:
    """Does a text stand as it is in the flow's code? Then it quotes nobody."""
    return any(text in _texts_of(frame.f_code) for frame in _frames())


@lru_cache(maxsize=256)
def _texts_of(code: CodeType) -> frozenset[str]:
    return frozenset(known for known in code.co_consts if isinstance(known, str))


def _frames() -> Iterator[FrameType]:
    """The calls of the flow's own code that lead to the step, the innermost first."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the stack as it is, without reading source files
    while frame and not _is_in(frame.f_code.co_filename, _ENGINE):
        if not _is_in(frame.f_code.co_filename, _HERE):
            yield frame
        frame = frame.f_back


@lru_cache(maxsize=256)
def _is_in(file: str, folder: str) -> bool:
    """Is that a file of the bot's in this folder, and none of its sample flows?"""
    path = Path(file)
    return str(path.parent) == folder and path.name not in _SAMPLES
