"""Recipes of the family `program`."""
