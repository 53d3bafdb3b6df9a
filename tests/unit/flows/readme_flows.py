"""The flows of the README's chapter "Write your first flow", as modules."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

README = Path(__file__).parents[3] / "README.md"


def readme_module(name: str) -> ModuleType:
    """The module that the chapter calls `name`, importable as `readme_<name>`."""
    found = re.search(rf"^```python\n# {name}\.py\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"the README has no {name}.py"
    module = ModuleType(f"readme_{name}")
    sys.modules[module.__name__] = module
    exec(compile(found[1], f"{name}.py", "exec"), vars(module))  # noqa: S102 - our own README
    return module
