"""Serving speed: this server with and without interventions beside `transformers serve`, on the CPU.

`models` makes the models, bundles and right answers, `contenders` says how each server is started and asked, `client`
loads it, `timing` runs rounds, `figures` does the arithmetic, `__main__` puts them together.
"""
