"""`python -m benchmarks.harm_scorers`: how the scorers of real text do on labelled public replies.

`heldout` rows come from sets that trained the scorer, `unseen` ones from a set that did not (leave-one-dataset-out:
the scorer is fitted again without it). Sets are deduplicated together before they are split, and split by
source prompt.
"""
