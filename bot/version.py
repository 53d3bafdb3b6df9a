"""The version of the bot."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """Return the installed version; "unknown" if the package is not installed."""
    try:
        return version("switchboard-bot")
    except PackageNotFoundError:
        return "unknown"
