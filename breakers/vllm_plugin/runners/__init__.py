"""vLLM's model runners: each knows which request and position every token of a step is."""
