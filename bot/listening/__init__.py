"""Listening for HTTP where strangers can reach it: every listener of the project is started here."""

from bot.listening.limits import Cut, Limits, raise_descriptor_limit
from bot.listening.listener import Listener

__all__ = ["Cut", "Limits", "Listener", "raise_descriptor_limit"]
