"""Bundles of a running server: where they may come from, how they are proved, and how they are swapped."""
