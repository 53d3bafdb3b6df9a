"""The operator console, with code shared by `switchboard-bot conversations`."""
