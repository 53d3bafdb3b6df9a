"""Faults around a running bot: how soon an operator could know of each, from which line, and how many lines follow."""
