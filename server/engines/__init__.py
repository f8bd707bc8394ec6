"""Engines: what runs the model. `embedded` serves laptops, tests and the quick start."""
