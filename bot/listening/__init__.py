"""Hardened HTTP listeners. All listeners of the project use this package."""

from bot.listening.limits import Cut, Limits, raise_descriptor_limit
from bot.listening.listener import Listener

__all__ = ["Cut", "Limits", "Listener", "raise_descriptor_limit"]
