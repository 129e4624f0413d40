"""Tokens: what they say, when they are believed, and how they end."""
