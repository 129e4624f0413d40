"""Signed instance identity: what lets a server prove to others who it is.

The document is JSON text; the signature is a detached JWS (RFC 7515, appendix F) with EdDSA over Ed25519 (RFC 8037).
Whoever has the cloud's public key can check it without asking us.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_FILE = "instance-identity.pem"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unbase64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class InstanceIdentity:
    """Signs identity documents with one key, which all processes of a cloud share."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        thumbprint = msgspec.json.encode({"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)})
        self.public_jwk: dict[str, str] = {"kty": "OKP", "crv": "Ed25519", "x": _base64url(raw), "alg": "EdDSA"}
        self.public_jwk["kid"] = _base64url(hashlib.sha256(thumbprint).digest())  # RFC 7638
        header = {"alg": "EdDSA", "kid": self.public_jwk["kid"]}
        self._header = _base64url(msgspec.json.encode(header))

    @classmethod
    def load(cls, folder: Path) -> InstanceIdentity:
        """The identity whose key is in `folder`, where one is made when there is none. Raises OSError, ValueError."""
        path = folder / KEY_FILE
        if not path.exists():
            _make_key(path)
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path} holds no Ed25519 key")
        return cls(key)

    def sign(self, document: dict[str, Any]) -> tuple[str, str]:
        """(JSON text of the document, its detached signature `header..signature`)."""
        text = msgspec.json.encode(document, order="deterministic").decode()
        signature = self._key.sign(f"{self._header}.{_base64url(text.encode())}".encode())
        return text, f"{self._header}..{_base64url(signature)}"


def verified(document: str, signature: str, public_jwk: dict[str, str]) -> bool:
    """Whether `signature` is the cloud's own over exactly this text."""
    header, dots, signed = signature.partition("..")
    try:
        if not dots or msgspec.json.decode(_unbase64url(header)).get("alg") != "EdDSA":
            return False
        key = Ed25519PublicKey.from_public_bytes(_unbase64url(public_jwk["x"]))
        key.verify(_unbase64url(signed), f"{header}.{_base64url(document.encode())}".encode())
    except (InvalidSignature, ValueError, AttributeError):
        return False
    return True


def _make_key(path: Path) -> None:
    """Write a fresh key; when another process is quicker, its key stays."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # fails where the file is there already, unlike a rename
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)
