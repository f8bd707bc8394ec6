"""Pairs: a harmful and a neutral completion of the same prompt, what every later stage is made from.

`record` says what a pair is, `files` reads and writes them, `build` turns what sources give into pairs that are
unique and split by prompt, `tokens` makes cases for tracing and training of them, `sources` is where they come from.
"""
