"""Ids that become file names and domain names are checked before they do."""

from __future__ import annotations

import re

from skybus.errors import CommandRefused

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def checked_id(text: str, what: str) -> str:
    """`text` if it is a UUID in its usual spelling. Raises CommandRefused: anything else could name a foreign path."""
    if _UUID.fullmatch(text) is None:
        raise CommandRefused(f"the {what} id is not a UUID", code="command.malformed")
    return text
