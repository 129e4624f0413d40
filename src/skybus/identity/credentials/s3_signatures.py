"""Signed requests of Amazon's S3 API: a string to sign of version 1 (which Amazon calls 2) or 4, and its signature.

Pure: yes or no. Only the string to sign decides, since nothing else is signed.
"""

from __future__ import annotations

import base64
import hmac
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from skybus import clock
from skybus.errors import Unauthorized
from skybus.identity.credentials.ec2_signatures import (
    ALGORITHM,
    MAX_AGE,
    basic_time,
    check_age,
    key_of,
    same,
    version_4,
)

SERVICES = ("s3", "iam", "sts")
INVALID = "Invalid S3 signature."
_VERB = re.compile(r"[A-Z]{3,8}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EPOCH = re.compile(r"[0-9]{1,11}")


def check_s3(string_to_sign: bytes, signature: str, secret: str, lifetime: timedelta = MAX_AGE) -> None:
    """Raises Unauthorized unless `signature` was made of `string_to_sign` with `secret`, at most `lifetime` ago.

    An address that was signed in advance and says itself when it ends is good to that end, if it is not further away
    than `lifetime`.
    """
    lines = string_to_sign.decode("utf-8", "replace").split("\n")
    if string_to_sign.startswith(b"AWS4"):
        right = _version_4(string_to_sign, lines, secret)
    else:
        right = base64.b64encode(hmac.digest(key_of(secret), string_to_sign, "sha1")).decode()
    if not same(signature, right):
        raise Unauthorized(INVALID)
    if string_to_sign.startswith(b"AWS4"):
        check_age(basic_time(lines[1]), lifetime)
    else:
        _check_age_1(lines, lifetime)


def _version_4(string_to_sign: bytes, lines: list[str], secret: str) -> str:
    if len(lines) != 4 or lines[0] != ALGORITHM or _SHA256.fullmatch(lines[3]) is None:
        raise Unauthorized(INVALID)
    scope = lines[2].split("/")
    if len(scope) != 4 or scope[3] != "aws4_request" or scope[2] not in SERVICES or scope[0] != lines[1][:8]:
        raise Unauthorized(INVALID)
    return version_4(key_of(secret), string_to_sign, scope)


def _check_age_1(lines: list[str], lifetime: timedelta) -> None:
    """The fourth line is a date, or the end of what was signed in advance, or empty where a header has the date."""
    if len(lines) < 5 or _VERB.fullmatch(lines[0]) is None:
        raise Unauthorized(INVALID)
    date = lines[3]
    if _EPOCH.fullmatch(date):
        ends, now = int(date), clock.now().timestamp()
        if not now < ends <= now + lifetime.total_seconds():
            raise Unauthorized("The signature has expired.")
        return
    if not date:
        date = next((line[11:] for line in lines[4:] if line.startswith("x-amz-date:")), "")
    check_age(_http_date(date), lifetime)


def _http_date(text: str) -> datetime:
    try:
        moment = parsedate_to_datetime(text[:64])
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise Unauthorized("The S3 signature does not say when it was made.") from None
