"""Causal tracing: which heads and neurons cause a behaviour, by patching their activations."""
