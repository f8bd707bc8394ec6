"""Stages that make artifacts from artifacts by hash, and runs that resume where they stopped."""
