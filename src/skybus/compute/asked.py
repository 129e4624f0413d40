"""What a request's query string and loosely typed fields say, as Nova reads them."""

from __future__ import annotations

from skybus.errors import BadRequest
from skybus.http.call import Call

MAX_LIMIT = 1000
"""Rows of one page at most."""

_YES = frozenset(("1", "t", "true", "on", "y", "yes"))
_NO = frozenset(("0", "f", "false", "off", "n", "no"))


def boolean(value: object, name: str) -> bool:
    """A truth value however it is spelled. Raises BadRequest that names the parameter."""
    text = str(value).strip().lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise BadRequest(f"Invalid value {text[:32]!r} for {name}: it is neither true nor false.")


def whole(text: str, name: str) -> int:
    """A whole number of a query parameter. Raises BadRequest that names the parameter."""
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 9:
        raise BadRequest(f"Invalid {name} filter [{text[:32]}]: it is not a number.")
    return int(text)


def only_known(call: Call, names: frozenset[str]) -> None:
    """From microversion 2.75 on, a query parameter that means nothing is refused. Raises BadRequest."""
    if call.version >= (2, 75):
        unknown = sorted(set(call.query) - names)
        if unknown:
            raise BadRequest(f"Additional properties are not allowed ({unknown[0][:64]!r} was unexpected).")
