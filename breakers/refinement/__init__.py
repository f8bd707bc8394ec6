"""Refinement: from ranked components to a smallest set whose patching takes the behaviour away, and its evidence."""
