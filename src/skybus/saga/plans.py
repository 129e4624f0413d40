"""The names of each saga's steps, so that the gateway can show them without knowing the conductor.

A test compares this with the sagas themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

PLANS: Mapping[str, tuple[str, ...]] = {
    "server_create": ("place", "wire", "spawn"),
    "server_delete": ("destroy", "unwire", "forget"),
    "server_start": ("power_on",),
    "server_stop": ("power_off",),
    "server_reboot": ("reboot",),
    "server_console": ("read",),
    "server_refresh": ("tell",),
    "network_refresh": ("tell",),
    "volume_create": ("place", "make"),
    "volume_delete": ("remove", "forget"),
    "volume_attach": ("export", "plug"),
    "volume_detach": ("unplug", "unexport"),
}
