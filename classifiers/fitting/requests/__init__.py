"""Fitting the general classifiers of requests: what is learnt, how it is weighted, and out-of-fold calibration."""
