"""What passwords must obey, decided from the settings, a user's row and the time: nothing is read or written here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from skybus.config import SecurityCompliance
from skybus.errors import BadRequest
from skybus.identity.people.user_options import (
    IGNORE_EXPIRY,
    IGNORE_FIRST_USE,
    IGNORE_INACTIVITY,
    LOCK_PASSWORD,
    is_set,
)

Row = Any
NO_RULES = SecurityCompliance()


def expiry_of_new(
    rules: SecurityCompliance, options: Mapping[str, Any], now: datetime, *, self_service: bool
) -> datetime | None:
    """When a password that is set now ends: at once, where somebody else chose it and its user must change it first."""
    if rules.change_password_upon_first_use and not self_service and not is_set(options, IGNORE_FIRST_USE):
        return now
    if rules.password_expires_days is not None and not is_set(options, IGNORE_EXPIRY):
        return (now + timedelta(days=rules.password_expires_days)).replace(microsecond=0)
    return None


def expired(user: Row, now: datetime) -> bool:
    """Whether the user's password opens nothing but its own change."""
    end = user["password_expires_at"]
    return end is not None and end <= now and not is_set(user["options"], IGNORE_EXPIRY)


def inactive(rules: SecurityCompliance, user: Row, now: datetime) -> bool:
    """Whether the user has been away for so long that it counts as disabled."""
    days = rules.disable_user_account_days_inactive
    if days is None or is_set(user["options"], IGNORE_INACTIVITY):
        return False
    last = user["last_active_at"] or user["created_at"].date()
    return bool((now.date() - last).days >= days)


def refuse_weak(rules: SecurityCompliance, password: str) -> None:
    """Raises BadRequest, in the operator's words, for a password that does not match the pattern."""
    if rules.password_regex is not None and re.match(rules.password_regex, password) is None:
        raise BadRequest(f"The password does not match the requirements: {rules.password_regex_description}.")


def refuse_own_change(rules: SecurityCompliance, user: Row, now: datetime) -> None:
    """Raises BadRequest when the user may not change its password, or not yet."""
    if is_set(user["options"], LOCK_PASSWORD):
        raise BadRequest(
            "You cannot change your password at this time due to password policy disallowing password changes. "
            "Please contact your administrator to reset your password."
        )
    # An administrator's password has no age: its user should replace it soon.
    if rules.minimum_password_age and user["password_self_service"]:
        free = user["password_created_at"] + timedelta(days=rules.minimum_password_age)
        if now < free:
            raise BadRequest(
                "You cannot change your password at this time due to the minimum password age. Once you change your "
                f"password, it must be used for {rules.minimum_password_age} day(s) before it can be changed. Please "
                f"try again in {(free - now).days} day(s) or contact your administrator to reset your password."
            )
