"""The case studies under docs/case-studies: what is kept of a chain, and the figures and tables made from it."""
