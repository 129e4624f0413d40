"""Tokens of OpenID providers: nothing is believed but what the right key signed, for us, for now."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from skybus.identity.federation.oidc_assertions import LONGEST_VALUE, assertion_of
from skybus.identity.federation.oidc_tokens import KeyUnknown, TokenRefused, issuer_said, keys_of, verify

ISSUER, AUDIENCE = "https://id.example", "skybus"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any, kid: str = "k1", **more: Any) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", **more}


KEYS = keys_of({"keys": [jwk(RSA_KEY), jwk(EC_KEY, "k2")]})


def claims(**other: Any) -> dict[str, Any]:
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "bob", "iat": now, "exp": now + 60, **other}
    return {name: value for name, value in said.items() if value is not None}


def signed(said: dict[str, Any], key: Any = RSA_KEY, algorithm: str = "RS256", kid: str | None = "k1") -> str:
    return jwt.encode(said, key, algorithm=algorithm, headers={"kid": kid} if kid else {})


def read(token: str) -> dict[str, Any]:
    return verify(token, KEYS, ISSUER, [AUDIENCE])


def test_a_good_token_is_read() -> None:
    assert read(signed(claims()))["sub"] == "bob"
    assert read(signed(claims(aud=["x", AUDIENCE]), EC_KEY, "ES256", "k2"))["sub"] == "bob"
    assert read(signed(claims(), kid=None))["sub"] == "bob"


@pytest.mark.parametrize(
    "other",
    [
        {"iss": "https://other.example"},
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"aud": "other"},
        {"aud": []},
        {"aud": None},
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": int(time.time()) + 3600},
        {"iat": int(time.time()) + 3600},
        {"sub": None},
        {"sub": 7},
    ],
)
def test_claims_that_do_not_hold_here_and_now_are_refused(other: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused):
        read(signed(claims(**other)))


def _raw(header: dict[str, Any], said: dict[str, Any], secret: bytes | None) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, said)]
    mac = hmac.digest(secret, b".".join(parts), hashlib.sha256) if secret is not None else b""
    return b".".join((*parts, base64.urlsafe_b64encode(mac).rstrip(b"="))).decode()


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 7])
def test_a_token_cannot_turn_its_signature_off(algorithm: Any) -> None:
    with pytest.raises(TokenRefused):
        read(_raw({"alg": algorithm, "kid": "k1"}, claims(), None))


def test_a_public_key_is_no_shared_secret() -> None:
    """The old confusion: sign with HMAC, and the public key that everybody has as its secret."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
        secret = RSA_KEY.public_key().public_bytes(encoding, form)
        for end in (b"", b"\n"):
            with pytest.raises(TokenRefused):
                read(_raw({"alg": "HS256", "kid": "k1"}, claims(), secret.rstrip(b"\n") + end))


def test_another_key_is_another_speaker() -> None:
    with pytest.raises(KeyUnknown):
        read(signed(claims(), OTHER_KEY))
    with pytest.raises(KeyUnknown):
        read(signed(claims(), kid="k9"))
    with pytest.raises(KeyUnknown):
        read(signed(claims(), RSA_KEY, "RS256", "k2"))
    token = signed(claims())
    head, body, mac = token.split(".")
    other = signed(claims(sub="admin")).split(".")[1]
    with pytest.raises(TokenRefused):
        read(".".join((head, other, mac)))
    with pytest.raises(TokenRefused):
        read(".".join((head, body, "")))


def test_keys_that_sign_nothing_good_are_left_out() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256"}
    wrong = [jwk(weak), secret, jwk(RSA_KEY, use="enc"), jwk(RSA_KEY, alg="HS256"), {"kty": "RSA", "n": 7}, 3, None, {}]
    assert keys_of({"keys": wrong}) == []
    assert keys_of(None) == keys_of([]) == keys_of({"keys": "x"}) == []
    assert len(keys_of({"keys": [jwk(RSA_KEY)] * 1000})) == 64


@pytest.mark.parametrize(
    "token", ["", ".", "..", "ey..", "eyJ.eyJ.x", "e" * 3000, "ey\u00e4.x.y", "eyJhbGciOiJSUzI1NiJ9.W10.x"]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused):
        read(token)
    assert issuer_said(token) == ""


def test_claims_come_under_the_names_of_mod_auth_openidc() -> None:
    said = assertion_of(
        {
            "sub": "bob",
            "groups": ["a;b", "c", 7, None, ""],
            "email_verified": True,
            "realm_access": {"roles": ["r"], "deep": {"deeper": {"deepest": "x"}}},
            "long": "x" * (LONGEST_VALUE + 1),
            "nul": "a\x00b",
            "half": "a\ud800",
            "na\udfffme": "x",
        }
    )
    assert said["REMOTE_USER"] == said["OIDC-sub"] == said["HTTP_OIDC_SUB"] == said["OIDC_CLAIM_sub"] == ["bob"]
    assert said["OIDC-groups"] == ["a;b", "c", "7"]
    assert said["HTTP_OIDC_EMAIL_VERIFIED"] == ["true"]
    assert said["OIDC-realm_access.roles"] == ["r"]
    assert not {name for name in said if any(word in name for word in ("long", "nul", "deepest", "half", "na\udfff"))}
    assert len(assertion_of({f"c{n}": "x" for n in range(1000)})) <= 3 * 256 + 1
