"""Runs conversations: claims each, applies its events, takes flow turns and sends its outbox.

Reading order: `worker.py` (claims), `session.py` (one conversation), `progress.py` (its
unsaved changes), `effects.py` (its outbox), `turns.py` (its flow).
"""
