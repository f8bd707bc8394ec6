"""Training of interventions: the base model is frozen, only the breaker's tensors move."""
