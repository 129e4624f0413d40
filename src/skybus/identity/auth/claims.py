"""What a token says, and its compact signed form: `sky1.` and base64url of MessagePack and a truncated HMAC-SHA256."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from skybus.http.caller import Caller
from skybus.identity.delegation.delegations import LETTERS, DelegationKey

PREFIX = "sky1."
MAC_BYTES = 16
"""128 bits of the HMAC, as RFC 2104 section 5 allows; a token is sent with every request and should be short."""
LONGEST = 2048
"""Characters; what is longer is not one of ours and is not looked at."""
IMAGE_READER = "image-reader"
"""User id in the tokens by which hosts read images: no user has it."""
SYSTEM = "system"
"""The target of a system-scoped token, where others have the id of a project or domain."""

_HEX = re.compile(r"[0-9a-f]{32}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_Id = Any
"""str or bytes."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What was true when the token was made. At most one of project, domain and system is set."""

    user_id: str
    user_domain_id: str
    methods: tuple[str, ...]
    audit_ids: tuple[str, ...]
    """This token's own id and, when it was made from another token, the id of the first of that line."""
    issued_at: int
    """Seconds since 1970, as `expires_at`."""
    expires_at: int
    revision: int
    """Every revocation up to this one was known when the token was made."""
    project_id: str | None = None
    project_domain_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    roles: tuple[str, ...] = ()
    """Role names, implied ones included."""
    delegation: DelegationKey | None = None
    image_id: str | None = None
    federation: tuple[str, str] | None = None
    """The identity provider and the protocol by which its user came."""
    credential_id: str | None = None
    """The EC2 credential that signed for it, which it dies with."""

    @property
    def target(self) -> str | None:
        """What the token is scoped to, as revocations name it."""
        return self.project_id or self.domain_id or (SYSTEM if self.system else None)

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Ids of further users and domains: a revocation of their tokens is one of this."""
        return self.delegation.depends_on if self.delegation is not None else ()

    def caller(self, token: str) -> Caller:
        """The caller that showed `token`."""
        return Caller(
            user_id=self.user_id,
            user_domain_id=self.user_domain_id,
            project_id=self.project_id,
            project_domain_id=self.project_domain_id,
            domain_id=self.domain_id,
            system=self.system,
            roles=frozenset(self.roles),
            audit_ids=self.audit_ids,
            methods=self.methods,
            issued_at=datetime.fromtimestamp(self.issued_at, UTC),
            expires_at=datetime.fromtimestamp(self.expires_at, UTC),
            token=token,
            image_id=self.image_id,
            ruled_by=self.delegation.id if self.delegation is not None and self.delegation.ruled else None,
        )


class _Packed(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, forbid_unknown_fields=True):
    """The claims on the wire: ids as 16 bytes where they are hex, roles and methods as one word each.

    A version that does not know a field cannot tell what it limits, and believes no token that has it.
    """

    user: _Id
    user_domain: _Id
    methods: str
    audits: list[bytes]
    issued: int
    expires: int
    revision: int
    scope: str = ""
    """`p`roject, `d`omain, `s`ystem, `i`mage or nothing."""
    scope_id: _Id = ""
    scope_domain: _Id = ""
    roles: str = ""
    federation: str = ""
    """Identity provider and protocol, with a mark between them."""
    delegation: _Id = ""
    delegation_kind: str = ""
    """A letter, a capital one where access rules hold."""
    depends_on: list[_Id] = []
    credential: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def new_audit_id() -> str:
    """The id by which a token is known in logs, events and revocations: it opens nothing."""
    return _text(os.urandom(16))


def seal(claims: Claims, key: bytes) -> str:
    """The token that says `claims`, signed with `key`."""
    payload = _encode(_pack(claims))
    return PREFIX + _text(payload + hmac.digest(key, payload, "sha256")[:MAC_BYTES])


def unseal(token: str, keys: Sequence[bytes]) -> Claims | None:
    """What `token` says, or None unless one of `keys` signed it. Expiry and revocation are not looked at."""
    if not token.startswith(PREFIX) or len(token) > LONGEST:
        return None
    try:
        data = _bytes(token[len(PREFIX) :])
    except (ValueError, binascii.Error):
        return None
    payload, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
    if not _signed(payload, mac, keys):
        return None
    try:
        return _unpack(_decode(payload))
    except (msgspec.MsgspecError, TypeError, ValueError):
        return None


def _signed(payload: bytes, mac: bytes, keys: Iterable[bytes]) -> bool:
    return any(hmac.compare_digest(hmac.digest(key, payload, "sha256")[:MAC_BYTES], mac) for key in keys)


def _pack(claims: Claims) -> _Packed:
    scope, scope_id = "", ""
    for letter, value in (("i", claims.image_id), ("p", claims.project_id), ("d", claims.domain_id)):
        if value is not None:
            scope, scope_id = letter, value
            break
    by = claims.delegation
    return _Packed(
        user=_short(claims.user_id),
        user_domain=_short(claims.user_domain_id),
        methods=" ".join(claims.methods),
        audits=[_bytes(audit_id) for audit_id in claims.audit_ids],
        issued=claims.issued_at,
        expires=claims.expires_at,
        revision=claims.revision,
        scope="s" if claims.system else scope,
        scope_id=_short(scope_id),
        scope_domain=_short(claims.project_domain_id or ""),
        roles=" ".join(name.replace(" ", "\x1f") for name in claims.roles),
        federation="\x1f".join(claims.federation or ()),
        delegation=_short(by.id) if by is not None else "",
        delegation_kind=_letter(by) if by is not None else "",
        depends_on=[_short(identifier) for identifier in by.depends_on] if by is not None else [],
        credential=claims.credential_id or "",
    )


def _unpack(packed: _Packed) -> Claims:
    scope_id = _long(packed.scope_id)
    return Claims(
        user_id=_long(packed.user),
        user_domain_id=_long(packed.user_domain),
        methods=tuple(packed.methods.split(" ")),
        audit_ids=tuple(_text(audit_id) for audit_id in packed.audits),
        issued_at=packed.issued,
        expires_at=packed.expires,
        revision=packed.revision,
        project_id=scope_id if packed.scope == "p" else None,
        project_domain_id=(_long(packed.scope_domain) or None) if packed.scope == "p" else None,
        domain_id=scope_id if packed.scope == "d" else None,
        system=packed.scope == "s",
        roles=tuple(name.replace("\x1f", " ") for name in packed.roles.split(" ")) if packed.roles else (),
        delegation=_delegation(packed),
        image_id=scope_id if packed.scope == "i" else None,
        federation=_federation(packed.federation),
        credential_id=packed.credential or None,
    )


def _federation(packed: str) -> tuple[str, str] | None:
    provider, mark, protocol = packed.partition("\x1f")
    return (provider, protocol) if mark else None


def _letter(key: DelegationKey) -> str:
    return LETTERS[key.kind].upper() if key.ruled else LETTERS[key.kind]


def _delegation(packed: _Packed) -> DelegationKey | None:
    """Raises ValueError for a kind that this version does not know: it cannot tell what the token may not do."""
    if not packed.delegation_kind and not packed.delegation:
        return None
    letter = packed.delegation_kind.lower()
    kinds = [kind for kind, known in LETTERS.items() if known == letter]
    if not kinds:
        raise ValueError(packed.delegation_kind)
    people = tuple(_long(identifier) for identifier in packed.depends_on)
    return DelegationKey(kinds[0], _long(packed.delegation), letter != packed.delegation_kind, people)


def _short(identifier: str) -> _Id:
    """16 bytes for 32 hex digits, 16 bytes and a mark for a UUID, the text itself for anything else."""
    if _HEX.fullmatch(identifier):
        return bytes.fromhex(identifier)
    if _UUID.fullmatch(identifier):
        return bytes.fromhex(identifier.replace("-", "")) + b"-"
    return identifier


def _long(identifier: _Id) -> str:
    if isinstance(identifier, str):
        return identifier
    digits = bytes(identifier[:16]).hex()
    if len(identifier) == 16:
        return digits
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
