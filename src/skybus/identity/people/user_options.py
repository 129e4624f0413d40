"""The options of a user, under Keystone's names: what each changes for one user."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

IGNORE_FIRST_USE = "ignore_change_password_upon_first_use"
IGNORE_EXPIRY = "ignore_password_expiry"
IGNORE_LOCKOUT = "ignore_lockout_failure_attempts"
IGNORE_INACTIVITY = "ignore_user_inactivity"
LOCK_PASSWORD = "lock_password"  # noqa: S105 - the name of an option
FACTORS = "multi_factor_auth_rules"
FACTORS_ENABLED = "multi_factor_auth_enabled"

Options = Mapping[str, Any]


def merged(old: Options, asked: Options) -> dict[str, Any]:
    """The options after a request: what it names is changed, and null takes an option away."""
    options = {**old, **asked}
    return {name: value for name, value in options.items() if value is not None}


def is_set(options: Options, name: str) -> bool:
    """Whether the option is there and true."""
    return options.get(name) is True


def factor_rules(options: Options, known: Collection[str]) -> list[list[str]]:
    """The combinations of methods of which a login must show one; none when the user may log in by any method.

    Methods that this cloud does not have are left out, and so is a rule that has no other, as in Keystone.
    """
    if options.get(FACTORS_ENABLED, True) is False:
        return []
    rules = options.get(FACTORS) or []
    return [usable for rule in rules if (usable := [method for method in rule if method in known])]


def factors_suffice(rules: Sequence[Sequence[str]], shown: Collection[str]) -> bool:
    """Whether the methods that were shown satisfy the rules."""
    return not rules or any(set(rule) <= set(shown) for rule in rules)
