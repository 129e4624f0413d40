"""What the sagas need to know of the cloud besides its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from skybus.compute.instance_identity import InstanceIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Made once by the conductor's process."""

    gateway_url: str
    """Where hosts fetch images."""
    issue_image_token: Callable[[str], str]
    """image id -> short-lived token that reads this image's data alone."""
    identity: InstanceIdentity
    """Signs what a guest may show of itself."""
    allocation_ratios: Mapping[str, float]
    """How far a host's resource class may be promised beyond what is there, by class."""
