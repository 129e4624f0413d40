"""The metadata store: Postgres through asyncpg, plain SQL."""

from skybus.store.store import Store, Tx

__all__ = ["Store", "Tx"]
