"""Keys: what a public key must look like, its fingerprint, and fresh pairs."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from skybus import clock
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


CERTIFICATE_DAYS = 3650
RSA_BITS = 2048
_PRINCIPAL_NAME = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""By which Windows finds the account that a certificate is for."""


def generate_x509(user_id: str) -> tuple[str, str]:
    """A fresh RSA pair: (certificate signed by itself, private key without a passphrase), both PEM.

    For Windows guests, where a client logs in with it over WinRM. Takes tenths of a second of CPU: call it from a
    thread.
    """
    private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64])])
    principal = f"{user_id[:64]}@localhost".encode()
    began = clock.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.OtherName(_PRINCIPAL_NAME, _utf8(principal))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), secret.decode()


def _utf8(text: bytes) -> bytes:
    """A UTF8String of under 128 bytes in DER."""
    return bytes((0x0C, len(text))) + text
