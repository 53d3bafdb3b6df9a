"""Checks an account for the bot's requirements (`doctor`), and sets it up (`setup`).

`reading` takes a snapshot of the account. `checks` and `plan` are pure: they turn a snapshot
into findings and changes. `examination` (for `doctor`) and `application` (for `setup`) call
the API. `env_file` stores the resulting settings.
"""
