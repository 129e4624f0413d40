"""Device names of volumes: the API's form and the hypervisor's."""

from __future__ import annotations

import re

from skybus.errors import CommandRefused

_DEVICE = re.compile(r"/dev/(vd[a-z]{1,2})")


def device_name(device: str) -> str:
    """`vdb` for `/dev/vdb`. Raises CommandRefused for the root disk's name and for what is no virtio disk's name."""
    match = _DEVICE.fullmatch(device)
    if match is None or match[1] == "vda":
        raise CommandRefused("a volume's device is /dev/vdb or a later one", code="compute.device-refused")
    return match[1]
