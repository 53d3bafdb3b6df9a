"""The plugin is loaded here too where the project is not installed with its entry points."""

from __future__ import annotations

from bot.replay.plugin import replay

__all__ = ["replay"]
