"""Refinement: from ranked components to a smallest set whose joint patching takes the behaviour away, and its evidence."""
