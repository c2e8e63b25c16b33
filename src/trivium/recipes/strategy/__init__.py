"""Recipes of the family `strategy`."""
