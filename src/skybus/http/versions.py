"""Microversions: which version of an API a request speaks (API-SIG guideline "Microversion Specification")."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from skybus.errors import BadRequest, NotAcceptable

Version = tuple[int, int]
_VERSION = re.compile(r"([1-9]\d{0,3})\.([1-9]\d{0,5}|0)")


def parse(text: str) -> Version:
    """`2.79` as (2, 79). Raises BadRequest."""
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise BadRequest(f"API Version String '{text}' is of invalid format. It must be of format 'major.minor'.")
    return int(match.group(1)), int(match.group(2))


def shown(version: Version) -> str:
    """(2, 79) as `2.79`."""
    return f"{version[0]}.{version[1]}"


class VersionRange(msgspec.Struct, frozen=True, kw_only=True):
    """The microversions of one API and the headers that ask for them."""

    service: str
    """What stands before the number in `OpenStack-API-Version`."""
    lowest: Version
    highest: Version
    legacy_header: str | None = None
    fixed: bool = False
    """Whether the API is older than microversions: it speaks the lowest, whatever is asked, and says nothing of it."""

    def asked(self, headers: Mapping[str, str]) -> Version:
        """The version that a request speaks: the lowest unless it says otherwise.

        Raises BadRequest on a malformed version and NotAcceptable on one outside the range.
        """
        text = None if self.fixed else self._text(headers)
        if text is None:
            return self.lowest
        if text == "latest":
            return self.highest
        version = parse(text)
        if not self.lowest <= version <= self.highest:
            raise NotAcceptable(
                f"Version {text} is not supported by the API. Minimum is {shown(self.lowest)} and maximum is "
                f"{shown(self.highest)}.",
                min_version=shown(self.lowest),
                max_version=shown(self.highest),
            )
        return version

    def _text(self, headers: Mapping[str, str]) -> str | None:
        for part in headers.get("OpenStack-API-Version", "").split(","):
            service, _, version = part.strip().partition(" ")
            if service.lower() == self.service:
                return version.strip().lower()
        if self.legacy_header and self.legacy_header in headers:
            return headers[self.legacy_header].strip().lower()
        return None

    def headers(self, version: Version) -> dict[str, str]:
        """What the response says of the version it was made in."""
        if self.fixed:
            return {}
        vary = "OpenStack-API-Version"
        headers = {"OpenStack-API-Version": f"{self.service} {shown(version)}"}
        if self.legacy_header:
            headers[self.legacy_header] = shown(version)
            vary += f", {self.legacy_header}"
        headers["Vary"] = vary
        return headers
