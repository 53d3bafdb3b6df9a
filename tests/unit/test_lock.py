"""What is installed is what was locked, and every file of it is known by its hash."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PRODUCT, EVERYTHING, SBOM = (ROOT / name for name in ("requirements.lock", "requirements-dev.lock", ".ci/sbom.lock"))
EXTRAS = ("otel", "test", "dev")


def _entries(lock: Path) -> Iterator[tuple[Requirement, int]]:
    """Yield what a lock file names, and how many hashes each has."""
    text = re.sub(r"^#.*\n", "", lock.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in text.splitlines():
        named, *hashes = line.split("--hash=")
        yield Requirement(named), sum(bool(re.fullmatch(r"sha256:[0-9a-f]{64} *", each)) for each in hashes)


def _pins(lock: Path) -> dict[str, str]:
    """Return the versions that a lock file has for this platform."""
    named = [entry for entry, _ in _entries(lock) if entry.marker is None or entry.marker.evaluate()]
    return {canonicalize_name(entry.name): str(entry.specifier).removeprefix("==") for entry in named}


def _needed(name: str, extras: tuple[str, ...], seen: set[tuple[str, str]]) -> Iterator[str]:
    """Yield the distributions that one needs with these extras, and those that they need."""
    for extra in ("", *extras):
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for requirement in map(Requirement, requires(name) or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed = canonicalize_name(requirement.name)
                yield needed
                yield from _needed(needed, tuple(requirement.extras), seen)


def test_installed_versions() -> None:
    """Each dependency is installed in the version that is locked. Otherwise: run the test command of the README."""
    try:
        needed = set(_needed("switchboard-bot", EXTRAS, set())) - {"switchboard-bot"}
    except PackageNotFoundError as error:
        pytest.fail(f"{error.name} is not installed: run the test command of the README")
    assert len(needed) > 60
    pins = _pins(EVERYTHING)
    assert {name: version(name) for name in needed} == {name: pins.get(name, "not locked") for name in needed}


@pytest.mark.parametrize("lock", [PRODUCT, EVERYTHING, SBOM], ids=lambda lock: lock.name)
def test_hashes(lock: Path) -> None:
    """Each entry is one version with hashes: pip then takes no file that has another one, nor anything unnamed."""
    entries = list(_entries(lock))
    assert len(entries) > 20
    for entry, hashes in entries:
        assert re.fullmatch(r"==[^,*]+", str(entry.specifier)), entry
        assert hashes, entry


def test_extras() -> None:
    """The entry of a package names the extras that others ask for: pip else finds the two of them to be different."""
    locked = {canonicalize_name(entry.name): entry.extras for entry, _ in _entries(EVERYTHING)}
    for name in set(_needed("switchboard-bot", EXTRAS, set())) - {"switchboard-bot"}:
        for requirement in map(Requirement, requires(name) or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert requirement.extras <= locked[canonicalize_name(requirement.name)], (name, requirement)


def test_same_versions() -> None:
    """What is tested is what is shipped."""
    everything = _pins(EVERYTHING)
    assert {name: everything.get(name) for name in _pins(PRODUCT)} == _pins(PRODUCT)


def test_nothing_installs_without_hashes() -> None:
    """The commands that people, CI and Docker run take dependencies from a lock file alone."""
    pages = [str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")]
    for name in ("README.md", *pages, "Dockerfile", ".ci/run", ".ci/sbom"):
        for command in re.findall(r"pip\"? install ([^&\n`]+)", (ROOT / name).read_text()):
            needed = r"-r \S*\.lock|--no-deps --no-build-isolation|\[bench\]|switchboard-bot|^honcho$"
            assert re.search(needed, command), (name, command)


def test_base_image() -> None:
    """The image is built on one base, whatever its tag comes to mean."""
    bases = re.findall(r"^FROM (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert bases
    for base in bases:
        assert re.fullmatch(r"\S+:\S+@sha256:[0-9a-f]{64}", base), base
