"""`python -m benchmarks.classifier_peers`: the general classifiers beside what one would install instead.

Ours are scored by fits that left the row's family out (`classifier_eval` keeps their scores in `--work DIR`), with
the calibration of other families. The peers judge the same prompts as they come: `better-profanity`, VADER, and a
guard model where `--guard DIR` names one.

Left out: `alt-profanity-check` loads its model with joblib, that is pickle, and nothing is unpickled here; NLTK's
lexicons are not in its package but are downloads (its VADER lexicon is the one that `vaderSentiment` carries).
"""
