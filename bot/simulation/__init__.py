"""The randomised simulation: a world drawn from a seed, played on the harness, and checked from the platform's side."""
