"""What `docs/` and `deploy/` tell people to type exists, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.cli import COMMANDS, load_command

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "deploy" / "README.md"]
TYPED = re.compile(r"(?:switchboard-bot|python -m bot) ([a-z]+)(?![-\w])((?: +[^`#|\n]+)?)")


def typed(page: Path) -> list[tuple[str, str]]:
    """Each command with what follows it, where the page shows one to be typed."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    return [found for block in blocks for found in TYPED.findall(block)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_commands(page: Path) -> None:
    """Each is a command, and takes the options."""
    for name, rest in typed(page):
        assert name in COMMANDS, name
        command = load_command(name)
        inner = getattr(command, "commands", {})
        words = rest.split()
        if words and words[0] in inner:
            command = inner[words[0]]
        params = [*command.params, *(one for sub in inner.values() for one in sub.params)]
        known = {option for param in params for option in (*param.opts, *param.secondary_opts)} | {"--env-file"}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, (name, rest)


def anchor(heading: str) -> str:
    """The anchor that a forge makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_links(page: Path) -> None:
    """Each leads to a file of the project, and to a heading or an anchor in it."""
    plain = re.sub(r"^```.*?^```|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for path, _, place in re.findall(r"\]\((?!https?:)([^)#\s]*)(#([^)\s]+))?\)", plain):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if place:
            text = target.read_text(encoding="utf-8")
            headings = {anchor(one) for one in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
            assert place in headings | set(re.findall(r'<a id="([\w-]+)"', text)), place
