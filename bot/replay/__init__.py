"""The harness for tapes, simulation and tests: the real bot in virtual time."""
