"""The volume agent: keeps a storage host's pool of volumes and exports them over iSCSI. It knows the bus and no SQL."""

from __future__ import annotations

from skybus_volume.build import build, purge, stop_exports

__all__ = ["build", "purge", "stop_exports"]
