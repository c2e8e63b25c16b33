"""Recipes of the family `debate`."""
