"""Judging text while serving: harm potential of inputs in the request's way, harm scores of replies beside it."""
