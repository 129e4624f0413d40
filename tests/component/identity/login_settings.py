"""Logging in under other settings, at another time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from identity_cloud import Cloud

from skybus import clock
from skybus.config import SecurityCompliance
from support.front import Answer


@contextmanager
def later(**by: float) -> Iterator[None]:
    """Some time from now."""
    moment = clock.now() + timedelta(**by)
    clock.use(lambda: moment)
    try:
        yield
    finally:
        clock.use(None)


@contextmanager
def at(seconds: float) -> Iterator[None]:
    """The time stands still, at `seconds` since 1970."""
    moment = datetime.fromtimestamp(seconds, UTC)
    clock.use(lambda: moment)
    try:
        yield
    finally:
        clock.use(None)


def obey(cloud: Cloud, **rules: Any) -> None:
    """Run under these settings of security compliance."""
    cloud.identity.login.compliance = SecurityCompliance(**rules)


async def change(cloud: Cloud, user: Any, old: str, new: str) -> Answer:
    """The user changes its own password."""
    body = {"user": {"original_password": old, "password": new}}
    return await cloud.client.call("POST", f"/identity/v3/users/{user['id']}/password", body, token=None)
