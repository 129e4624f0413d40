"""Users of other identity providers."""
