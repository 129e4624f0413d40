"""Roles, and who has which one where."""
