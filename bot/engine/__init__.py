"""Claim a conversation, take its turn, deliver its outbox, look again at what is due."""
