"""The guarantee: pure rules that decide what the bot owes each conversation.

No I/O, no clock, no randomness: `rules.step` maps (state, fact, now) to a new state.

Reading order: `state.py` (what is known and owed, and the invariant `is_safe`),
`rules.py` (a picture of a step), `obligations.py` (what is owed now), `duties.py`
(until it is proven), `outbox.py` (what goes out, and when), `modes.py` (the two control
modes).
"""
