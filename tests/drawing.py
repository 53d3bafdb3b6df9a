"""Random examples: the same ones by default, new ones on request, and none with a field of the wrong type.

    pytest -m hypothesis --hypothesis-profile=new

draws new and more examples. What they find becomes a test of its own.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar, cast, get_type_hints

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

T = TypeVar("T")

_MORE = 10
_NO_TIMING = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}

settings.register_profile("same", derandomize=True, **_NO_TIMING)  # type: ignore[arg-type]
settings.register_profile("new", max_examples=1000, print_blob=True, **_NO_TIMING)  # type: ignore[arg-type]
settings.load_profile("same")


def examples(count: int, new: int | None = None) -> int:
    """Return how many examples to draw: `count` of them; when they are new ones, `new`, or ten times as many."""
    return (new or count * _MORE) if settings.get_current_profile_name() == "new" else count


def built(kind: type[T], /, **narrowed: st.SearchStrategy[Any]) -> st.SearchStrategy[T]:
    """Draw a dataclass by its own field types.

    Args:
        kind: the dataclass.
        narrowed: strategies for some of its fields. A value that does not have the field's type fails the test.
    """
    known = get_type_hints(kind)
    hints = {field.name: known[field.name] for field in fields(cast("Any", kind)) if field.init}
    assert narrowed.keys() <= hints.keys(), f"{kind.__name__} has no {sorted(narrowed.keys() - hints.keys())}"
    adapters = {name: TypeAdapter[Any](hint) for name, hint in hints.items()}

    def typed(value: T) -> T:
        for name, adapter in adapters.items():
            adapter.validate_python(getattr(value, name), strict=True)
        return value

    return st.builds(kind, **{name: narrowed.get(name, st.from_type(hint)) for name, hint in hints.items()}).map(typed)
