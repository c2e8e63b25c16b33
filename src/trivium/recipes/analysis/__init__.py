"""Recipes of the family `analysis`."""
