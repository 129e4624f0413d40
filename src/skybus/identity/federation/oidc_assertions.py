"""A provider's claims under the names that mappings know them by from Keystone behind mod_auth_openidc."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST_NAMES = 256
MOST_VALUES = 1024
"""Of one claim: as many groups as anybody is in."""
LONGEST_VALUE = 4096
DEEPEST = 3
"""Objects within objects whose members have names: `realm_access.roles` is two deep."""


def assertion_of(claims: Mapping[str, Any]) -> dict[str, list[str]]:
    """Each claim as `OIDC-name`, `OIDC_CLAIM_name` and `HTTP_OIDC_NAME`, and `sub` as `REMOTE_USER`, with all of its
    values. What is longer or more than the limits above is left out."""
    found: dict[str, list[str]] = {}
    for name, value in _flat(claims, "", 1):
        values = _values(value)
        if not values or len(found) >= 3 * MOST_NAMES:
            continue
        upper = name.upper().replace("-", "_").replace(".", "_")
        for known_as in (f"OIDC-{name}", f"OIDC_CLAIM_{name}", f"HTTP_OIDC_{upper}"):
            found[known_as] = values
    if "OIDC-sub" in found:
        found["REMOTE_USER"] = found["OIDC-sub"]
    return found


def _flat(claims: Mapping[str, Any], before: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in claims.items():
        if isinstance(value, Mapping):
            if depth < DEEPEST:
                yield from _flat(value, f"{before}{name}.", depth + 1)
        elif _is_unicode(name):
            yield f"{before}{name}", value


def _values(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [text for one in listed[:MOST_VALUES] if (text := _text(one)) is not None]


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str) and 0 < len(value) <= LONGEST_VALUE and "\x00" not in value and _is_unicode(value):
        return value
    return None


def _is_unicode(text: str) -> bool:
    """Whether no half of a character is in it, which JSON can say and nobody can keep."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
