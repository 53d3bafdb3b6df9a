"""The harness for tapes, simulation and tests: the real bot, the sandbox, virtual time."""
