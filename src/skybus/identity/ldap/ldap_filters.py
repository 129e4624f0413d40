"""Search filters of LDAP, as bytes on the wire.

What a user types becomes a value in a structure and is never part of a text that is parsed, so there is nothing to
escape. The only text that is parsed is what an administrator wrote into a domain's settings (RFC 4515).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from skybus.identity.ldap.ldap_ber import octets, sequence, tlv

AND, OR, NOT, EQUALS, SUBSTRINGS, AT_LEAST, AT_MOST, PRESENT, APPROX, MATCHES = (
    0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0x87, 0xA8, 0xA9,
)  # fmt: skip
INITIAL, ANY, FINAL = 0x80, 0x81, 0x82
DEEPEST = 16
LONGEST = 4096
"""Characters of a written filter."""
_ATTRIBUTE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.;\-]{0,127}")
_ITEM = re.compile(r"([^=~<>:()]+)(:[^=()]*:|[~<>])?=", re.DOTALL)


class FilterError(ValueError):
    """A written filter cannot be read; the message says why."""


def equals(attribute: str, value: str | bytes) -> bytes:
    """Entries whose attribute has this value, whatever characters are in it."""
    return sequence(octets(attribute), octets(value), tag=EQUALS)


def present(attribute: str) -> bytes:
    """Entries that have the attribute."""
    return octets(attribute, PRESENT)


def both(*parts: bytes) -> bytes:
    """Entries that all of `parts` hold for."""
    return parts[0] if len(parts) == 1 else sequence(*parts, tag=AND)


def either(parts: Iterable[bytes]) -> bytes:
    """Entries that one of `parts` holds for."""
    return sequence(*parts, tag=OR)


def is_attribute(name: str) -> bool:
    """Whether an attribute can be called this."""
    return _ATTRIBUTE.fullmatch(name) is not None


def written(text: str) -> bytes:
    """The filter that an administrator wrote, as `(objectClass=person)`. Raises FilterError."""
    text = text.strip()
    if len(text) > LONGEST:
        raise FilterError(f"a filter may have {LONGEST} characters")
    if not text.startswith("("):
        text = f"({text})"
    parsed, rest = _filter(text, 0)
    if rest:
        raise FilterError(f"{rest[:32]!r} stands behind the filter's end")
    return parsed


def _filter(text: str, depth: int) -> tuple[bytes, str]:
    """(the filter that begins here, the text behind it)."""
    if depth > DEEPEST:
        raise FilterError("the filter is nested too deep")
    if not text.startswith("("):
        raise FilterError(f"a parenthesis is missing at {text[:32]!r}")
    kind, rest = text[1:2], text[2:]
    if kind in ("&", "|"):
        parts = []
        while rest.startswith("("):
            part, rest = _filter(rest, depth + 1)
            parts.append(part)
        return sequence(*parts, tag=AND if kind == "&" else OR), _closed(rest)
    if kind == "!":
        part, rest = _filter(rest, depth + 1)
        return tlv(NOT, part), _closed(rest)
    end = text.find(")")
    if end < 0:
        raise FilterError(f"a parenthesis is not closed at {text[:32]!r}")
    return _item(text[1:end]), text[end + 1 :]


def _closed(text: str) -> str:
    if not text.startswith(")"):
        raise FilterError(f"a parenthesis is not closed at {text[:32]!r}")
    return text[1:]


def _item(text: str) -> bytes:
    match = _ITEM.match(text)
    if match is None:
        raise FilterError(f"{text[:64]!r} compares nothing")
    attribute, kind, value = match.group(1).strip(), match.group(2) or "", text[match.end() :]
    if not is_attribute(attribute):
        raise FilterError(f"{attribute[:64]!r} is no attribute")
    if kind.startswith(":"):
        rule = octets(kind.strip(":"), 0x81) if kind.strip(":") else b""
        return sequence(rule, octets(attribute, 0x82), octets(_plain(value), 0x83), tag=MATCHES)
    if kind:
        tag = {"~": APPROX, ">": AT_LEAST, "<": AT_MOST}[kind]
        return sequence(octets(attribute), octets(_plain(value)), tag=tag)
    if value == "*":
        return present(attribute)
    if "*" not in value:
        return equals(attribute, _plain(value))
    return sequence(octets(attribute), _substrings(value), tag=SUBSTRINGS)


def _substrings(value: str) -> bytes:
    first, *middle, last = value.split("*")
    parts = [octets(_plain(first), INITIAL)] if first else []
    parts += [octets(_plain(part), ANY) for part in middle if part]
    parts += [octets(_plain(last), FINAL)] if last else []
    if not parts:
        raise FilterError("a filter of nothing but asterisks")
    return sequence(*parts)


def _plain(value: str) -> bytes:
    r"""A value without its escapes: `\2a` is an asterisk."""
    data = value.encode()
    if re.search(rb"\\(?![0-9a-fA-F]{2})", data):
        raise FilterError(f"{value[:64]!r} escapes nothing")
    return re.sub(rb"\\([0-9a-fA-F]{2})", lambda match: bytes.fromhex(match.group(1).decode()), data)
