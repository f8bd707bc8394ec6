"""Recipes: how a bundle is made, from prompts to a fitted gate, as YAML files, and the stages that follow them."""
