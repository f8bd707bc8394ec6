"""`python -m benchmarks.soak`: clients, plans, hang-ups and reloads at once, and every answer asked again afterwards.

`traffic` makes the requests and sends them; `changes` reloads bundles and policies meanwhile; `replay` asks again,
one request at a time and with the reported strengths fixed, and compares; `__main__` puts them together.
"""
