"""Fitting the harm scorers that ship: one module a member, and the stage that writes a member's files."""
