"""The scheduler: it chooses hosts, and claims what it chose."""
