"""The migrations, oldest first: `r<number>_<what>.py`."""
