"""The evidence: statistics, benchmarks and experiments that judge a served model."""
