"""Labelled requests: public sets and our own in one label space, deduplicated before they are split."""
