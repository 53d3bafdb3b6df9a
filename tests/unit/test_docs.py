"""The documents: what they tell people to type exists, links lead somewhere, tables say what the code says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bot.cli import COMMANDS, load_command
from bot.settings import Settings

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference.md"
DOCS = [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "deploy" / "README.md"]
PAGES_OF_TODAY = [*DOCS, *ROOT.glob("examples/README.md"), ROOT / "tests" / "README.md", ROOT / "SECURITY.md"]
PAGES = [*PAGES_OF_TODAY, ROOT / "CHANGELOG.md"]  # which also names files that are gone
TYPED = re.compile(r"(?:switchboard-bot|python -m bot) ([a-z]+)(?![-\w])((?: +[^`#|\n]+)?)")
FOLDERS = ("bot", "webhooks", "tests", "docs", "deploy", "examples", ".ci")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def read(page: Path) -> str:
    """The text of a page."""
    return page.read_text(encoding="utf-8")


def plain(page: Path) -> str:
    """The text of a page without what is code."""
    return re.sub(r"^```.*?^```|`[^`\n]+`", "", read(page), flags=re.MULTILINE | re.DOTALL)


def chapter(page: Path, heading: str) -> str:
    """What stands under a heading of the second level."""
    return read(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the rows of a table that begin with code."""
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]


def typed(page: Path) -> list[tuple[str, str]]:
    """Each command with what follows it, where the page shows one to be typed."""
    text = read(page)
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    return [found for block in blocks for found in TYPED.findall(block)]


def options(command: Any) -> set[str]:
    """The options of a command and of those within it."""
    inner = getattr(command, "commands", {}).values()
    params = [*command.params, *(one for sub in inner for one in sub.params)]
    return {option for param in params for option in (*param.opts, *param.secondary_opts)} | {"--env-file"}


@each_page
def test_commands(page: Path) -> None:
    """Each is a command, and takes the options."""
    for name, rest in typed(page):
        assert name in COMMANDS, name
        command = load_command(name)
        inner = getattr(command, "commands", {})
        words = rest.split()
        if words and words[0] in inner:
            command = inner[words[0]]
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= options(command), (name, rest)


def anchor(heading: str) -> str:
    """The anchor that a forge makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def places(page: Path) -> set[str]:
    """The anchors of a page."""
    code_gone = re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)
    headings = {anchor(one) for one in re.findall(r"^#+ (.+)$", code_gone, re.MULTILINE)}
    return headings | set(re.findall(r'<a id="([\w-]+)"', code_gone))


@each_page
def test_links(page: Path) -> None:
    """Each leads to a file of the project, and to a heading or an anchor in it."""
    text = plain(page)
    for path, _, place in re.findall(r"\]\((?!https?:)([^)#\s]*)(#([^)\s]+))?\)", text):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if place:
            assert place in places(target), (path, place)
    for path in re.findall(r'<img src="([^"]+)"', text):
        assert (page.parent / path).exists(), path


@each_page
def test_sources(page: Path) -> None:
    """Each `[label]` without an address of its own has one at the end of the page, and each of those is used."""
    text = plain(page)
    defined = dict(re.findall(r"^\[([^\]]+)\]: (https://\S+)$", text, re.MULTILINE))
    used = set(re.findall(r"(?<!!)\[([^\]\n]+)\](?![(:\[])", text))
    assert used == defined.keys()


@pytest.mark.parametrize("page", PAGES_OF_TODAY, ids=lambda page: str(page.relative_to(ROOT)))
def test_files(page: Path) -> None:
    """A file that a page names is there."""
    for code in re.findall(r"`([^`\s]+)`", re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)):
        if code.startswith(tuple(f"{folder}/" for folder in FOLDERS)) and not re.search(r"[*<>{…]", code):
            assert (ROOT / code.partition("::")[0]).exists(), code


def test_python_is_run() -> None:
    """Python stands on pages only whose snippets are run: `test_readme_chapter` and `test_docs_replay`."""
    with_python = {page.name for page in DOCS if "```python" in read(page)}
    assert with_python <= {"README.md", "flows.md", "replay.md"}


def test_the_readme_is_short() -> None:
    """So that a newcomer reads it."""
    assert len(README.read_bytes()) <= 8 * 1024


def test_the_readme_leads_to_every_page() -> None:
    """At once, or by way of a page that it leads to."""
    reached, new = {README}, [README]
    while new:
        page = new.pop()
        for path in re.findall(r"\]\((?!https?:)([^)#\s]+\.md)", plain(page)):
            target = (page.parent / path).resolve()
            if target not in reached:
                reached.add(target)
                new.append(target)
    assert set(PAGES) <= reached


def test_the_table_of_commands() -> None:
    """It has every command, with the options that each takes."""
    told: dict[str, Any] = {}
    for first, *rest in rows(chapter(REFERENCE, "Commands")):
        names = [code.split()[0] for code in re.findall(r"`([^`]+)`", first)]
        told |= {name: load_command(name) for name in names}
        known = set().union(*(options(told[name]) for name in names))
        assert set(re.findall(r"--[a-z][-a-z]*", " ".join([first, *rest]))) <= known, first
    assert told.keys() == set(COMMANDS)


def told_settings() -> Iterator[tuple[str, str]]:
    """Each setting of the table, with its default as the table shows it."""
    for names, defaults, *_ in rows(chapter(REFERENCE, "Settings")):
        found = re.findall(r"`([A-Z_]+)`", names)
        shown = re.findall(r"`([^`]+)`", defaults) or [defaults] * len(found)
        yield from zip(found, shown, strict=True)


def shown(value: object) -> str:
    """A setting's value as people write it."""
    match value:
        case StrEnum():
            return value.value
        case SecretStr():
            return shown(value.get_secret_value())
        case timedelta():
            return f"{value.total_seconds() / 60:g}m" if value >= timedelta(minutes=1) else f"{value.seconds}s"
        case None | "" | []:
            return "none"
        case _:
            return str(value)


def test_the_table_of_settings() -> None:
    """It has every setting, with its default."""
    told = dict(told_settings())
    fields = Settings.model_fields
    assert told.keys() == {name.upper() for name in fields}
    checked = 0
    for name, default in told.items():
        field = fields[name.lower()]
        if name == "FLOWS":
            assert default == "the samples' modules"
        elif default == "required":
            assert field.is_required() or field.default in ("", SecretStr(""))
        else:
            assert default == shown(field.default), name
            checked += 1
    assert checked > 15


def test_the_map_of_packages() -> None:
    """docs/architecture.md has every package of the bot."""
    told = {
        re.findall(r"`([^`]+)/`", first)[0]
        for first, *_ in rows(chapter(ROOT / "docs/architecture.md", "Where what is"))
    }
    packages = {f"bot/{file.parent.name}" for file in (ROOT / "bot").glob("*/__init__.py")}
    assert told == packages | {folder for folder in ("webhooks", "examples") if (ROOT / folder).is_dir()}


def test_what_code_cites() -> None:
    """A page that code names is there, with the section or the heading that it names."""
    sections = {str(number) for number in range(1, 8)}
    assert set(re.findall(r"^## (\d)\. ", read(ROOT / "docs" / "platform.md"), re.MULTILINE)) == sections
    cited: set[str] = set()
    for file in [file for folder in ("bot", "webhooks", "tests") for file in (ROOT / folder).rglob("*.py")]:
        code = read(file)
        for page in re.findall(r"\bdocs/[\w-]+\.md", code):
            assert (ROOT / page).exists(), (file, page)
        for numbers in re.findall(r"docs/platform\.md, (?:sections? )?(\d(?:(?:, | and )\d)*)", code):
            cited |= set(re.findall(r"\d", numbers))
        for heading, page in re.findall(r'"([A-Z][^"\n]+)" (?:in|of) (docs/[\w-]+\.md)', code):
            assert anchor(heading) in places(ROOT / page), (file, heading)
    assert cited <= sections
    assert len(cited) > 4
