"""Which APIs there are, and all their policy rules together."""

from __future__ import annotations

from collections.abc import Mapping

from skybus import compute, events, identity, image, network, volume
from skybus.compute.api import apis as compute_apis
from skybus.events.api import apis as events_apis
from skybus.events.policies import RULES as EVENTS_RULES
from skybus.http.routes import Api
from skybus.identity.api import apis as identity_apis
from skybus.image.api import apis as image_apis
from skybus.network.api import apis as network_apis
from skybus.volume.api import apis as volume_apis


def apis() -> list[Api]:
    """Every API, versions documents included."""
    return [*identity_apis(), *image_apis(), *compute_apis(), *volume_apis(), *network_apis(), *events_apis()]


def policy_rules() -> Mapping[str, str]:
    """Every rule. Raises ValueError when two packages define one differently."""
    merged: dict[str, str] = {}
    for package in RULES:
        for name, text in package.items():
            if merged.setdefault(name, text) != text:
                raise ValueError(f"the policy rule {name} is defined twice, and not the same")
    return merged
