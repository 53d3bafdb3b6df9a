"""The operator's web page, and what it shares with `switchboard-bot conversations`."""
