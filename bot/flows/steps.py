"""The identity of a flow's step in the journal, and its place in the flow's code.

A step is identified by its kind and its text or function, or by the author's `key=`. The
journal keeps only a digest of a text, so that it holds nobody's words. If the text is a
literal in the flow's code, the journal also keeps the text, for operators.
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
LONGEST_SHOWN = 80  # characters of a text shown to operators
_DIGEST, _KEYED = "#", "="  # prefixes of a stored key: a text's digest, or the author's key
_HERE = str(Path(__file__).parent)
_ENGINE = str(Path(__file__).parents[1] / "engine")
_SAMPLES = frozenset({"assistant.py", "survey.py", "triage.py"})  # sample flows in this package


@dataclass(frozen=True, slots=True)
class Step:
    """A step that the code is about to take.

    Attributes:
        kind: say, ask, call, ….
        name: digest of its text, or the name of its function or signal; empty if the kind
            is enough.
        key: the author's key, or empty.
        text: its text, shown to operators if it is a literal in the flow's code.
        parts: the calls of a `gather`, which identify it if it has no key.
    """

    kind: str
    name: str = ""
    key: str = ""
    text: str = ""
    parts: tuple[Step, ...] = ()

    @property
    def is_named(self) -> bool:
        """Whether its name comes from the code, and is not a digest."""
        return bool(self.name) and not self.name.startswith(_DIGEST)

    @property
    def stored(self) -> str:
        """Its value in the journal's `key`."""
        return f"{_KEYED}{self.key}" if self.key else self.name

    def fits(self, entry: JournalEntry) -> bool:
        """Return whether the entry is this step.

        Earlier versions of the bot stored no digest; then only the kind is compared.
        """
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
    """The step that says some content. Raises `FlowMisuse` for an invalid key."""
    match content:
        case Text(text) | Image(_, text) | File(_, text):
            words = [str(text)]
        case Form(fields, text):
            words = [str(text), *(str(field.name) for field in fields)]
        case Carousel(cards):
            words = [str(card.title) for card in cards]
    return _text_step(kind, checked_key(key), type(content).__name__, *words)


@lru_cache(maxsize=512)  # each turn replays the steps of earlier ones
def named_step(kind: str, name: str = "", key: str = "") -> Step:
    """The step of a function or signal, or a step identified by its kind alone."""
    return Step(kind, name, key)


@lru_cache(maxsize=512)
def _text_step(kind: str, key: str, *words: str) -> Step:
    digest = hashlib.blake2b("\0".join(words).encode("utf-8", "replace"), digest_size=6)
    return Step(kind, f"{_DIGEST}{digest.hexdigest()}", key, words[1] if len(words) > 1 else "")


def checked_key(key: str | None) -> str:
    """A step's key; empty if none is given. Raises `FlowMisuse` if it is invalid."""
    if key is None:
        return ""
    given: object = key
    if not isinstance(given, str) or not 0 < len(given) <= KEY_LIMIT:
        raise FlowMisuse(f"the key of a step must be a text of 1 to {KEY_LIMIT} characters")
    return key


def described(entry: JournalEntry) -> str:
    """Describe a journal entry for operators and logs, without anybody's words."""
    data = entry.data if isinstance(entry.data, dict) else {}
    if entry.key.startswith(_DIGEST):
        return _described(entry.kind, str(data.get("says", "")), "")
    if entry.key.startswith(_KEYED):
        named = data.get("function") or data.get("named", "")
        return _described(entry.kind, str(data.get("says", "")), str(named))
    return _described(entry.kind, "", entry.key)


def told_apart_by(entry: JournalEntry) -> str:
    """How a step differs from an entry with the same description: by "text" or "key"."""
    return "text" if not entry.key or entry.key.startswith(_DIGEST) else "key"


def _described(kind: str, text: str, name: str) -> str:
    shown = f"{text[:LONGEST_SHOWN]}…" if len(text) > LONGEST_SHOWN else text
    return " ".join(filter(None, (kind, name, f'"{shown}"' if shown else "")))


# -- place in the code ------------------------------------------------------------------


def place_in_code() -> str:
    """File and line in the flow's code of the current step."""
    frame = next(_frames(), None)
    return f"{_name_of(frame.f_code.co_filename)}:{frame.f_lineno}" if frame else "an unknown place"


@lru_cache(maxsize=256)
def _name_of(file: str) -> str:
    return Path(file).name


def is_written(text: str) -> bool:
    """Whether a text is a literal in the flow's code, and so quotes nobody."""
    return any(text in _texts_of(frame.f_code) for frame in _frames())


@lru_cache(maxsize=256)
def _texts_of(code: CodeType) -> frozenset[str]:
    return frozenset(known for known in code.co_consts if isinstance(known, str))


def _frames() -> Iterator[FrameType]:
    """The flow's own calls that lead to the step, innermost first."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - fast: reads no source files
    while frame and not _is_in(frame.f_code.co_filename, _ENGINE):
        if not _is_in(frame.f_code.co_filename, _HERE):
            yield frame
        frame = frame.f_back


@lru_cache(maxsize=256)
def _is_in(file: str, folder: str) -> bool:
    """Whether a file is the bot's own, in this folder, and not a sample flow."""
    path = Path(file)
    return str(path.parent) == folder and path.name not in _SAMPLES
