"""Recipes of the family `distill`."""
