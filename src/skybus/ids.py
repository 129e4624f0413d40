"""Identifiers: UUID version 7 (RFC 9562, section 5.7), which sort by the time they were drawn."""

from __future__ import annotations

import os
import re
import uuid

from skybus import clock

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_id() -> str:
    """A new identifier with dashes, as Nova, Glance, Cinder and Neutron show theirs."""
    milliseconds = int(clock.now().timestamp() * 1000)
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF000 << 64)) | (0x7000 << 64)
    value = (value & ~(0xC000 << 48)) | (0x8000 << 48)
    return str(uuid.UUID(int=value))


def new_hex_id() -> str:
    """A new identifier of 32 hex digits, as Keystone shows its own."""
    return new_id().replace("-", "")


def derived_id(*parts: str) -> str:
    """The same identifier for the same parts: what a repeated step calls the things it makes (UUID version 5)."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "skybus:" + "/".join(parts)))


def is_uuid(text: str) -> bool:
    """Whether `text` has the one spelling of a UUID that we hand out."""
    return _UUID.fullmatch(text) is not None
