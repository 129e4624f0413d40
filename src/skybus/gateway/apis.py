"""Which APIs there are, and all their policy rules together."""

from __future__ import annotations

from collections.abc import Mapping

import skybus.compute.api
import skybus.compute.policies
import skybus.events.api
import skybus.events.policies
import skybus.identity.api
import skybus.identity.policies
import skybus.image.api
import skybus.image.policies
import skybus.network.api
import skybus.network.policies
import skybus.volume.api
import skybus.volume.policies
from skybus.http.routes import Api

RULES: tuple[Mapping[str, str], ...] = (
    skybus.identity.policies.RULES,
    skybus.image.policies.RULES,
    skybus.compute.policies.RULES,
    skybus.volume.policies.RULES,
    skybus.network.policies.RULES,
    skybus.events.policies.RULES,
)


def apis() -> list[Api]:
    """Every API, versions documents included."""
    return [
        skybus.identity.api.api(),
        skybus.image.api.api(),
        skybus.compute.api.api(),
        skybus.volume.api.api(),
        skybus.network.api.versions_api(),
        skybus.network.api.api(),
        *skybus.events.api.apis(),
    ]


def policy_rules() -> Mapping[str, str]:
    """Every rule. Raises ValueError when two packages define one differently."""
    merged: dict[str, str] = {}
    for rules in RULES:
        for name, text in rules.items():
            if merged.setdefault(name, text) != text:
                raise ValueError(f"the policy rule {name} is defined twice, and not the same")
    return merged
