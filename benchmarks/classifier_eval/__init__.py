"""`python -m benchmarks.classifier_eval`: how the general classifiers do on labelled requests.

`lodo`: every family of sets left out in turn, fitted by the code and the settings of what ships, calibrated on the
other families. `heldout`, `pairs` and `budget`: what ships, on rows that no fit has seen of sets that trained it, on
minimal pairs of unseen words, and its thresholds. `latency`: of what ships, on one core.
"""
