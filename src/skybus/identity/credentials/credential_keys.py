"""What keeps credentials secret at rest: AES-256-GCM under keys in a folder of their own.

Each sealed text is bound to the id of its credential: a row cannot be given the secret of another one, not even by who
may write to the database.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from skybus.errors import Unavailable
from skybus.identity.auth.keys import Keys

NONCE_BYTES = 12


class CredentialKeys:
    """Seals and opens the blobs of credentials. `repr` shows no key.

    Without a folder it is that of a process that opens none: every use raises Unavailable.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._keys = Keys(folder, "credentials") if folder is not None else None

    @property
    def keys(self) -> Keys:
        """The keys. Raises Unavailable where there are none."""
        if self._keys is None:
            raise Unavailable("This process has no keys of credentials.")
        return self._keys

    def refresh(self) -> None:
        """Look for new keys. Blocks on the disk."""
        if self._keys is not None:
            self._keys.refresh()

    def seal(self, credential_id: str, blob: str) -> tuple[int, bytes]:
        """(number of the key, sealed blob): what a row keeps."""
        self.keys.refresh()
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self.keys.signing).encrypt(nonce, blob.encode("utf-8", "surrogatepass"), credential_id.encode())
        return self.keys.signing_number, nonce + sealed

    def open(self, credential_id: str, number: int, sealed: bytes) -> str:
        """The blob. Raises Unavailable when its key is not here or the row was tampered with."""
        key = self.keys.numbered(number)
        if key is None:
            raise Unavailable(f"Credential {credential_id} is encrypted with key {number}, which is not here.")
        try:
            blob = AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], credential_id.encode())
        except (InvalidTag, ValueError):
            raise Unavailable(f"Credential {credential_id} cannot be decrypted.") from None
        return blob.decode("utf-8", "surrogatepass")
