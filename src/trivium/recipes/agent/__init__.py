"""Recipes of the family `agent`."""
