"""Times as the APIs of OpenStack spell them."""

from __future__ import annotations

from datetime import UTC, datetime

from skybus.errors import BadRequest


def seconds_z(moment: datetime | None) -> str | None:
    """`2026-01-31T12:00:00Z`: Nova, Glance, Neutron."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micros_z(moment: datetime | None) -> str | None:
    """`2026-01-31T12:00:00.000000Z`: Keystone."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def micros(moment: datetime | None) -> str | None:
    """`2026-01-31T12:00:00.000000`, in UTC without saying so: Cinder, and Nova's older corners."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def parse(text: str, name: str = "time") -> datetime:
    """An ISO 8601 time, in UTC unless it says otherwise. Raises BadRequest that names the parameter.

    The first and the last hours of the calendar have no name in UTC when they are said with an offset: refused too.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadRequest(f"Invalid {name}: {text[:64]!r} is not an ISO 8601 time.") from None
