"""Grammars on the embedded engine: compiled by llguidance, stepped token by token beside the sampler.

`dialect` writes a grammar in llguidance's language, `vocabulary` tells it the model's tokens, `compiler` compiles on
a thread of its own, `matcher` is one reply's place in its grammar, `masks` forbids tokens, `text` joins them to text.
"""
