"""The option `immutable` of projects, domains and roles: what has it stays as it is until the option is taken off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skybus.errors import Forbidden

NAME = "immutable"


def options_after(old: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a row when those of a request are applied: null takes one off."""
    return {key: value for key, value in {**old, **asked}.items() if value is not None}


def refuse_change(noun: str, row: Any, asked: Mapping[str, Any]) -> None:
    """Raises Forbidden for a row that is immutable, unless the request does nothing but take the option off."""
    if not row["options"].get(NAME):
        return
    options = asked.get("options", {})
    if set(asked) != {"options"} or options.get(NAME, True):
        raise _refusal("update", noun, row)


def refuse_delete(noun: str, row: Any) -> None:
    """Raises Forbidden for a row that is immutable."""
    if row["options"].get(NAME):
        raise _refusal("delete", noun, row)


def _refusal(verb: str, noun: str, row: Any) -> Forbidden:
    return Forbidden(
        f"Unable to {verb} immutable {noun} resource: {row['id']}. Set the resource option immutable to false first."
    )
