"""Recipes of the family `curriculum`."""
