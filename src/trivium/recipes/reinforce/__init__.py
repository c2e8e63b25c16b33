"""Recipes of the family `reinforce`."""
