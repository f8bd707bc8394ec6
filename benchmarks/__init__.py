"""Measured claims: `python -m benchmarks.NAME` measures one, `python -m benchmarks.check` compares all to targets."""
