"""The platform's account as the bot needs it: read it, find what is wrong, plan what mends it, and carry that out.

`reading` makes a snapshot. `checks` and `plan` are pure: from a snapshot they make findings and changes. `examination`
(for `doctor`) and `application` (for `setup`) do the talking; `env_file` keeps what has been found out.
"""
