"""The compute agent of one host: guests, their disks, their consoles. It knows a hypervisor and the bus."""

from __future__ import annotations

from skybus_compute.build import build

__all__ = ["build"]
