"""Signed requests of Amazon's EC2 API: signature versions 0, 1, 2 and 4, as a service passes them on to be checked.

Pure: a request and a secret in, yes or no out. What a version does not sign decides nothing here; so the time of a
version 4 request is the one in its string to sign, whatever else its parameters say.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from skybus import clock
from skybus.bus.message import Discreet
from skybus.errors import BadRequest, Unauthorized
from skybus.http.times import parse

MAX_AGE = timedelta(minutes=15)
"""How old, or how far ahead of our clock, a signature may be."""
ALGORITHM = "AWS4-HMAC-SHA256"
INVALID = "Invalid EC2 signature."
_BASIC_TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class SignedRequest(Discreet, frozen=True, kw_only=True):
    """The request that somebody signed, and the signature."""

    SECRETS: ClassVar[tuple[str, ...]] = ("signature", "params", "headers")

    access: str
    signature: str
    verb: str = ""
    host: str = ""
    path: str = ""
    params: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    """Names in lower case."""
    body_hash: str = ""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> SignedRequest:
        """What the body of a request says, which was held against its schema."""
        return cls(
            access=said["access"],
            signature=said["signature"],
            verb=said.get("verb", ""),
            host=said.get("host", ""),
            path=said.get("path", ""),
            params={name: _text(value) for name, value in said.get("params", {}).items()},
            headers={name.strip().lower(): _text(value) for name, value in said.get("headers", {}).items()},
            body_hash=said.get("body_hash", ""),
        )

    @property
    def version(self) -> str:
        """`0`, `1`, `2` or `4`. Raises Unauthorized for anything else."""
        named = self.params.get("SignatureVersion")
        if named in ("0", "1", "2"):
            return named
        if named is None and ALGORITHM in (
            self.headers.get("authorization", "")[:16],
            self.params.get(_AMZ + "Algorithm"),
        ):
            return "4"
        raise Unauthorized("The EC2 signature is of no version that is known.")

    @property
    def signed_at(self) -> datetime:
        """When it was signed, by what is signed itself. Raises Unauthorized."""
        return basic_time(_amz_date(self)) if self.version == "4" else _iso_time(self.params.get("Timestamp", ""))


_AMZ = "X-Amz-"


def check_age(signed_at: datetime, lifetime: timedelta = MAX_AGE) -> None:
    """Raises Unauthorized for a signature that is too old, or of a time that is yet to come."""
    now = clock.now()
    if signed_at < now - lifetime:
        raise Unauthorized("The signature has expired.")
    if signed_at > now + MAX_AGE:
        raise Unauthorized("The signature is of a time that is yet to come.")


def check_signature(request: SignedRequest, secret: str) -> None:
    """Raises Unauthorized unless `request` was signed with `secret`."""
    if not any(same(request.signature, made) for made in _signatures(request, key_of(secret))):
        raise Unauthorized(INVALID)


def _signatures(request: SignedRequest, key: bytes) -> Iterator[str]:
    """What the signature may be."""
    version = request.version
    if version == "0":
        yield _base64_mac(key, request.params.get("Action", "") + request.params.get("Timestamp", ""), "sha1")
    elif version == "1":
        names = sorted((name for name in request.params if name != "Signature"), key=str.lower)
        yield _base64_mac(key, "".join(name + request.params[name] for name in names), "sha1")
    elif version == "2":
        yield _version_2(request, key, request.host)
        # Some clients leave the port out of what they sign.
        if ":" in request.host:
            yield _version_2(request, key, _without_port(request.host))
    else:
        yield _version_4(request, key)


def _version_2(request: SignedRequest, key: bytes, host: str) -> str:
    params = {**request.params, "SignatureMethod": request.params.get("SignatureMethod", "HmacSHA256")}
    if params["SignatureMethod"] != "HmacSHA256":
        raise Unauthorized("EC2 signatures of version 2 are made by HmacSHA256.")
    params.pop("Signature", None)
    return _base64_mac(key, f"{request.verb}\n{host}\n{request.path}\n{_query(params)}", "sha256")


def _version_4(request: SignedRequest, key: bytes) -> str:
    access, _, scope = _said(request, "Credential").partition("/")
    date, signed = _amz_date(request), _said(request, "SignedHeaders")
    parts = scope.split("/")
    if len(parts) != 4 or parts[3] != "aws4_request" or parts[0] != date[:8] or access != request.access:
        raise Unauthorized(INVALID)
    if _SHA256.fullmatch(request.body_hash) is None:
        raise Unauthorized("The EC2 signature covers the body, and no SHA-256 of it was passed on.")
    # Parameters of a POST are in its body, which is covered by its hash.
    query = "" if request.verb.upper() == "POST" else _query(request.params, without=_AMZ + "Signature")
    canonical = "\n".join(
        (request.verb.upper(), request.path, query, _canonical_headers(request, signed), signed, request.body_hash)
    )
    return version_4(key, "\n".join((ALGORITHM, date, scope, hashlib.sha256(_bytes(canonical)).hexdigest())), parts)


def version_4(key: bytes, text: str | bytes, scope: list[str]) -> str:
    """The signature of a string to sign, by the key that its scope (date, region, service, `aws4_request`) leads to."""
    derived = b"AWS4" + key
    for part in scope:
        derived = hmac.digest(derived, _bytes(part), "sha256")
    return hmac.digest(derived, text if isinstance(text, bytes) else _bytes(text), "sha256").hex()


def _canonical_headers(request: SignedRequest, signed: str) -> str:
    names = signed.split(";")
    if "host" not in names or len(set(names)) != len(names):
        raise Unauthorized(INVALID)
    headers = {"host": request.host, **request.headers}
    if not all(name in headers for name in names):
        raise Unauthorized(INVALID)
    return "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names)


def _said(request: SignedRequest, name: str) -> str:
    """A part of a version 4 signature: in the header Authorization, or a parameter of its own."""
    header = request.headers.get("authorization")
    if header is None:
        return request.params.get(_AMZ + name, "")
    found = re.search(rf"[\s,]{name}=([^,\s]*)", header)
    return found.group(1) if found else ""


def _amz_date(request: SignedRequest) -> str:
    date = request.headers.get("x-amz-date", request.params.get(_AMZ + "Date", ""))
    if _BASIC_TIME.fullmatch(date) is None:
        raise Unauthorized("The EC2 signature does not say when it was made.")
    return date


def basic_time(text: str) -> datetime:
    """A time like `20260131T120000Z`. Raises Unauthorized."""
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Unauthorized("The signature's time cannot be read.") from None


def _iso_time(text: str) -> datetime:
    try:
        return parse(text, "Timestamp")
    except BadRequest:
        raise Unauthorized("The EC2 signature does not say when it was made.") from None


def _query(params: Mapping[str, str], without: str = "") -> str:
    pairs = sorted((quote(_bytes(name), safe="-_.~"), quote(_bytes(value), safe="-_.~"))
                   for name, value in params.items() if name != without)  # fmt: skip
    return "&".join(f"{name}={value}" for name, value in pairs)


def _without_port(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or host
    except ValueError:
        return host


def same(shown: str, right: str) -> bool:
    """Whether two signatures are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(_bytes(shown), _bytes(right))


def key_of(secret: str) -> bytes:
    """The bytes that sign."""
    return _bytes(secret)


def _base64_mac(key: bytes, text: str, algorithm: str) -> str:
    return base64.b64encode(hmac.digest(key, _bytes(text), algorithm)).decode()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
