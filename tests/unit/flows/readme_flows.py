"""The flows of the README's chapter "Write your first flow" and of docs/flows.md, as modules."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[3]


def readme_module(name: str) -> ModuleType:
    """The module that the chapter or the page calls `name`, importable as `readme_<name>`."""
    pages = (ROOT / "README.md").read_text() + (ROOT / "docs" / "flows.md").read_text()
    found = re.search(rf"^```python\n# {name}\.py\n(.*?)^```", pages, re.MULTILINE | re.DOTALL)
    assert found, f"there is no {name}.py"
    module = ModuleType(f"readme_{name}")
    sys.modules[module.__name__] = module
    exec(compile(found[1], f"{name}.py", "exec"), vars(module))  # noqa: S102 - our own README
    return module
