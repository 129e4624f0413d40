"""Identifiers: UUID version 7 (RFC 9562, section 5.7), which sort by the time they were drawn."""

from __future__ import annotations

import os
import re
import uuid
from datetime import datetime

from skybus import clock

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_last = 0
"""Time and random bits of the id that was drawn last."""


def new_id() -> str:
    """A new identifier with dashes, as Nova, Glance, Cinder and Neutron show theirs."""
    global _last
    milliseconds = int(clock.now().timestamp() * 1000)
    number = (milliseconds << 74) | (int.from_bytes(os.urandom(10), "big") & (2**74 - 1))
    if number <= _last and _last >> 74 == milliseconds:
        # The same millisecond: go on from the last one by a random step, so that ids of one process keep their order.
        number = _last + 1 + int.from_bytes(os.urandom(4), "big")
    _last = number
    time, tail = number >> 74, number & (2**74 - 1)
    return str(uuid.UUID(int=time << 80 | 0x7 << 76 | (tail >> 62) << 64 | 0b10 << 62 | (tail & (2**62 - 1))))


def first_id_at(moment: datetime) -> str:
    """Stands before every id that is drawn from `moment` on, and behind every one drawn in an earlier millisecond."""
    return str(uuid.UUID(int=int(moment.timestamp() * 1000) << 80))


def new_hex_id() -> str:
    """A new identifier of 32 hex digits, as Keystone shows its own."""
    return new_id().replace("-", "")


def derived_id(*parts: str) -> str:
    """The same identifier for the same parts: what a repeated step calls the things it makes (UUID version 5)."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "skybus:" + "/".join(parts)))


def is_uuid(text: str) -> bool:
    """Whether `text` has the one spelling of a UUID that we hand out."""
    return _UUID.fullmatch(text) is not None
