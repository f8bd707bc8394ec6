"""`python -m benchmarks.fuzz`: whatever is sent, the server answers, and goes on answering.

`described` makes requests from the server's own OpenAPI document, right and wrong ones; `raw` makes bodies that no
document describes; `sender` sends and counts; `__main__` puts them together.
"""
