"""Which APIs there are, and all their policy rules together."""

from __future__ import annotations

from collections.abc import Mapping

from skybus.compute.api import apis as compute_apis
from skybus.compute.policies import RULES as COMPUTE_RULES
from skybus.events.api import apis as events_apis
from skybus.events.policies import RULES as EVENTS_RULES
from skybus.http.routes import Api
from skybus.identity.api import api as identity_api
from skybus.identity.policies import RULES as IDENTITY_RULES
from skybus.image.api import api as image_api
from skybus.image.policies import RULES as IMAGE_RULES
from skybus.network.api import api as network_api
from skybus.network.api import versions_api as network_versions_api
from skybus.network.policies import RULES as NETWORK_RULES
from skybus.volume.api import api as volume_api
from skybus.volume.policies import RULES as VOLUME_RULES

RULES: tuple[Mapping[str, str], ...] = (
    IDENTITY_RULES,
    IMAGE_RULES,
    COMPUTE_RULES,
    VOLUME_RULES,
    NETWORK_RULES,
    EVENTS_RULES,
)


def apis() -> list[Api]:
    """Every API, versions documents included."""
    return [
        identity_api(),
        image_api(),
        *compute_apis(),
        volume_api(),
        network_versions_api(),
        network_api(),
        *events_apis(),
    ]


def policy_rules() -> Mapping[str, str]:
    """Every rule. Raises ValueError when two packages define one differently."""
    merged: dict[str, str] = {}
    for rules in RULES:
        for name, text in rules.items():
            if merged.setdefault(name, text) != text:
                raise ValueError(f"the policy rule {name} is defined twice, and not the same")
    return merged
