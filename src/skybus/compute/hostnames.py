"""The host name that a guest is given."""

from __future__ import annotations

import re

LONGEST = 63
_RUNS = re.compile(r"[_\s.]+")
_OTHERS = re.compile(r"[^a-z0-9-]+")


def hostname_of(name: str, fallback: str) -> str:
    """A name that DNS and DHCP take, made from a server's: runs of blanks, dots and underscores become a dash, what
    is not a letter, digit or dash goes, and so does what is too long; `fallback` when nothing is left."""
    made = _OTHERS.sub("", _RUNS.sub("-", name[:LONGEST]).lower()).strip("-")
    return made or fallback[:LONGEST].lower()
