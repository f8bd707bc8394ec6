"""What tracing costs: ours, TransformerLens and nnsight on the same model, pairs and metric."""
