"""The guarantee: pure rules that say what the bot owes to a conversation. No I/O, no clock, no randomness."""
