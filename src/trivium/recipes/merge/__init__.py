"""Recipes of the family `merge`."""
