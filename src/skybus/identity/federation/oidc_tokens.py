"""Whether a provider really said this: signatures and claims of JSON Web Tokens. Pure: keys in, claims out.

The key decides which algorithms are thinkable, never the token alone: what a token says of itself can neither turn the
signature off nor make a public key a shared secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jwt
import structlog

log = structlog.get_logger()

ALGORITHMS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "RSA": frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        "EC": frozenset(("ES256", "ES384", "ES512")),
        "OKP": frozenset(("EdDSA",)),
    }
)
"""What each type of key may have signed with. Shared secrets are not among them."""
MOST_KEYS = 64
LEAST_RSA_BITS = 2048
LEEWAY_SECONDS = 10
"""By how much a provider's clock may differ from ours."""
LONGEST = 16_384
"""Characters of a token."""


class TokenRefused(Exception):
    """The provider did not say this, or says it no more; the message is for our log alone."""


class KeyUnknown(TokenRefused):
    """No key that we know signed it: a newer one may have."""


class ProviderKey:
    """One public key of a provider. Raises ValueError for one that signs nothing which we believe."""

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        kind = str(jwk.get("kty"))
        if kind not in ALGORITHMS or jwk.get("use", "sig") != "sig":
            raise ValueError(f"a key of type {kind!r} for {jwk.get('use')!r}")
        named = jwk.get("alg")
        self.algorithms = ALGORITHMS[kind] if named is None else ALGORITHMS[kind] & {named}
        if not self.algorithms:
            raise ValueError(f"a key of type {kind!r} for {named!r}")
        self.id = jwk.get("kid")
        self.key = jwt.PyJWK(dict(jwk), algorithm=None if named else min(self.algorithms & _FIRST)).key
        if kind == "RSA" and self.key.key_size < LEAST_RSA_BITS:
            raise ValueError(f"an RSA key of {self.key.key_size} bits")


_FIRST = frozenset(("RS256", "ES256", "EdDSA"))
"""One of each type: to read a key that does not say what it is for."""


def keys_of(document: Any) -> list[ProviderKey]:
    """The usable keys of a JSON Web Key Set; the others are left out. Never more than MOST_KEYS."""
    found: list[ProviderKey] = []
    listed = document.get("keys") if isinstance(document, Mapping) else None
    for jwk in (listed if isinstance(listed, list) else [])[:MOST_KEYS]:
        try:
            found.append(ProviderKey(jwk))
        except (ValueError, TypeError, AttributeError, jwt.PyJWTError) as error:
            log.debug("provider_key_unusable", reason=str(error)[:200])
    return found


def is_jwt(token: str) -> bool:
    """Whether it looks like a signed JSON Web Token; anything else is opaque, and the provider alone can read it."""
    return token.count(".") == 2 and token.startswith("ey")


def issuer_said(token: str) -> str:
    """The issuer that a token names, unchecked: good for choosing whose keys to ask, and for nothing else."""
    try:
        said = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError, RecursionError):
        return ""
    return said if isinstance(said, str) else ""


def verify(token: str, keys: Sequence[ProviderKey], issuer: str, audience: Sequence[str]) -> dict[str, Any]:
    """The claims of a token that `issuer` signed with one of `keys` for one of `audience`, and that is good now.

    Raises KeyUnknown when another key signed it, TokenRefused otherwise.
    """
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise TokenRefused(str(error)) from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not any(algorithm in known for known in ALGORITHMS.values()):
        raise TokenRefused(f"it is signed with {algorithm!r}")
    fitting = [key for key in keys if algorithm in key.algorithms and (key_id is None or key.id in (None, key_id))]
    for key in fitting:
        try:
            return _decoded(token, key, algorithm, issuer, audience)
        except jwt.InvalidSignatureError:
            continue
    raise KeyUnknown(f"none of {len(fitting)} fitting keys signed it")


def _decoded(token: str, key: ProviderKey, algorithm: str, issuer: str, audience: Sequence[str]) -> dict[str, Any]:
    try:
        claims = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=list(audience),
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except jwt.InvalidSignatureError:
        raise
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise TokenRefused(f"{type(error).__name__}: {error}") from None
    return dict(claims)
