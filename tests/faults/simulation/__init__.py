"""The whole control plane in one process, on virtual time, under seeded faults: a seed does the same each time."""
