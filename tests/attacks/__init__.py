"""Attacks on a running bot, and what they cost it: `python -m tests.attacks`; the soak: `python -m tests.attacks.soak`.

All of it stays on 127.0.0.1, is bounded in number and time, and ends by itself.
"""
