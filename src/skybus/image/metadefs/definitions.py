"""A property's definition as it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def definition_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a request says of a property, without its name. A default that is no list becomes text, `8` for example:
    Glance shows it so whatever the property's type, and clients expect it."""
    kept = {key: value for key, value in said.items() if key != "name"}
    default = kept.pop("default", None)
    if default is not None:
        kept["default"] = default if isinstance(default, list) else str(default)
    return kept


def definitions_of(said: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The same for several, by their names."""
    return {name: definition_of(one) for name, one in said.items()}
