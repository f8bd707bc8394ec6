"""Choosing among the variants of a behaviour (breaker, steering vector, mask) by harm potential."""
