"""Benchmarks: `python -m tests.bench`. Every figure is a ratio to something that is measured in the same run."""
