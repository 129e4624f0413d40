"""The operation engine: what was accepted is driven to its end, done or undone."""
