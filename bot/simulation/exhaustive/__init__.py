"""Exhaustive search: every small story of one conversation, on the pure rules and a pure model of the platform."""
