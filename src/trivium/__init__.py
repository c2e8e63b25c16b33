"""Trivium: search, learning and verification for language models that learn to reason."""

__version__ = "0.1.0"
