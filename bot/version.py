"""Which version this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The installed package's version; "unknown" where it runs from its source alone."""
    try:
        return version("switchboard-bot")
    except PackageNotFoundError:
        return "unknown"
