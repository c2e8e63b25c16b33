"""Recipes of the family `errors`."""
