"""The harness: the real bot against the sandbox in virtual time. Tapes, simulation and tests are played on it."""
