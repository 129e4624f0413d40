"""Users and groups of a directory."""
