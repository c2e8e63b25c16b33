"""Recipes of the family `tree`."""
