"""Keys: what a public key must look like, its fingerprint, and fresh pairs."""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from skybus.errors import BadRequest

SSH_TYPES = frozenset(
    (
        "ssh-rsa",
        "ssh-dss",
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    )
)


def fingerprint_of(kind: str, public_key: str) -> str:
    """The fingerprint of a public key, which is checked on the way. Raises BadRequest."""
    return _x509_fingerprint(public_key) if kind == "x509" else _ssh_fingerprint(public_key)


def _ssh_fingerprint(public_key: str) -> str:
    """MD5 over the key's blob, in pairs of hex digits: what clients compare with `ssh-keygen -l -E md5`."""
    if "\n" in public_key.strip() or "\r" in public_key.strip():
        raise BadRequest("Keypair data is invalid: a public key is one line.")
    words = public_key.split(None, 2)
    if len(words) < 2 or words[0] not in SSH_TYPES:
        raise BadRequest("Keypair data is invalid: failed to generate fingerprint, this is no OpenSSH public key.")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("Keypair data is invalid: failed to generate fingerprint, its base64 is damaged.") from None
    length = int.from_bytes(blob[:4], "big")
    if len(blob) < 4 + length + 4 or blob[4 : 4 + length] != words[0].encode():
        raise BadRequest("Keypair data is invalid: failed to generate fingerprint, the key is of another type.")
    return _pairs(hashlib.md5(blob, usedforsecurity=False).digest())


def _x509_fingerprint(certificate: str) -> str:
    """SHA-1 over the certificate, in pairs of hex digits."""
    try:
        parsed = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        raise BadRequest("Keypair data is invalid: failed to generate X509 fingerprint.") from None
    return _pairs(parsed.fingerprint(hashes.SHA1()))  # noqa: S303 - a name that clients compare, no protection


def _pairs(digest: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in digest)


def generate(comment: str) -> tuple[str, str]:
    """A fresh Ed25519 pair: (OpenSSH public key, OpenSSH private key without a passphrase)."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return f"{public.decode()} {comment}\n", secret.decode()
