"""How good harm potentials are on labelled requests: pure functions over scores and rows, no model and no file.

Every figure comes with a bootstrap interval over source prompts: rows that were made from one prompt are resampled
together, so that a set of fifty rewrites of one prompt does not count as fifty.
"""
