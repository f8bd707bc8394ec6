"""`python -m benchmarks.classifier_rewrites`: what it costs the general classifiers when a request is disguised.

Held-out harmful requests of sets that trained are rewritten as an attacker would; the threshold is set once, on the
held-out benign requests in dangerous words as they stand. Measured with the cards' `readings` on and off, and on
benign requests rewritten in the same way. The rewriting shares nothing with `classifiers.text`.
"""
