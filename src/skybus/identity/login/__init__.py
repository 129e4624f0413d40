"""Logging in: one module for each method, and what limits them."""
