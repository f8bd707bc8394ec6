"""Figures of a trace: two PNGs, and one page that needs nothing but itself."""
