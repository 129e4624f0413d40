"""Credentials: secrets that users keep for other ways in (EC2 keys, TOTP seeds, certificates), encrypted at rest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

import asyncpg
import msgspec

from skybus import clock
from skybus.bus.message import Discreet
from skybus.errors import BadRequest, Conflict, Forbidden
from skybus.identity.auth.revocations import revoke
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.delegation.delegations import DelegationKey, Kind
from skybus.identity.people.users import user_hold
from skybus.identity.rows import missing
from skybus.ids import new_hex_id
from skybus.messages.identity_credentials import CredentialCreated, CredentialDeleted, CredentialUpdated
from skybus.store import Tx

Row = Any

EC2 = "ec2"
TOTP = "totp"
MOST_OF_A_USER = 200
"""Credentials that one user may have."""
BLOB_NAMES: Mapping[Kind, str] = {
    "trust": "trust_id",
    "application_credential": "app_cred_id",
    "oauth1": "access_token_id",
}
"""Where Keystone shows, in the blob of an EC2 credential, by which delegation it was made. Nobody may write there."""

SELECT = """
SELECT c.id, c.user_id, c.project_id, c.type, c.sealed, c.key_number, c.access_hash, c.delegation_kind,
       c.delegation_id, c.extra
  FROM identity.credential c
"""
GET = f"{SELECT} WHERE c.id = $1"
LOCK = f"{SELECT} WHERE c.id = $1 FOR UPDATE"
BY_ACCESS = f"{SELECT} WHERE c.access_hash = $1"
OF_USER = f"{SELECT} WHERE c.user_id = $1 AND c.type = $2 ORDER BY c.created_at, c.id"
COUNT = "SELECT count(*) FROM identity.credential WHERE user_id = $1"
INSERT = """
INSERT INTO identity.credential (id, user_id, project_id, type, sealed, key_number, access_hash, delegation_kind,
                                 delegation_id, extra, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING
RETURNING id
"""
UPDATE = """
UPDATE identity.credential
   SET user_id = $2, project_id = $3, type = $4, sealed = $5, key_number = $6, access_hash = $7, extra = $8
 WHERE id = $1
"""
DELETE = "DELETE FROM identity.credential WHERE id = $1"


class Credential(Discreet, frozen=True, kw_only=True):
    """A credential, its blob in the clear."""

    SECRETS: ClassVar[tuple[str, ...]] = ("blob",)

    id: str
    user_id: str
    project_id: str | None
    type: str
    blob: str
    delegation_kind: Kind | None = None
    delegation_id: str | None = None
    """By what the token was made by which this was made: it never gives more than that does."""
    extra: dict[str, Any] = {}

    @property
    def is_ec2(self) -> bool:
        """Whether requests are signed with it."""
        return self.type.lower() == EC2

    def made_by(self, key: DelegationKey | None) -> bool:
        """Whether it was made by a token of this delegation; of None, by a token of the user itself."""
        return (self.delegation_kind, self.delegation_id) == ((key.kind, key.id) if key is not None else (None, None))


def ec2_id(access: str) -> str:
    """The id of the EC2 credential that is made with this access key."""
    return hashlib.sha256(access.encode("utf-8", "surrogatepass")).hexdigest()


def ec2_blob(blob: str) -> dict[str, Any]:
    """What the blob of an EC2 credential says: `access`, and `secret` for who is to sign with it. Raises BadRequest."""
    try:
        said = msgspec.json.decode(blob)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise BadRequest("Invalid blob in credential: that of an EC2 credential is an object in JSON.") from None
    if not isinstance(said, dict):
        raise BadRequest("Invalid blob in credential: that of an EC2 credential is an object in JSON.")
    access, secret = said.get("access"), said.get("secret")
    if not isinstance(access, str) or not access or not isinstance(secret, str | None):
        raise BadRequest("The blob of an EC2 credential has an access key and a key to sign with, both text.")
    return said


def opened(keys: CredentialKeys, row: Row) -> Credential:
    """The credential of a row. Raises Unavailable when it cannot be decrypted."""
    return Credential(
        id=row["id"],
        user_id=row["user_id"],
        project_id=row["project_id"],
        type=row["type"],
        blob=keys.open(row["id"], row["key_number"], row["sealed"]),
        delegation_kind=row["delegation_kind"],
        delegation_id=row["delegation_id"],
        extra=row["extra"],
    )


async def credentials_of_user(
    db: Any,
    user_id: str,
    type: str,  # noqa: A002 - the API's name
    keys: CredentialKeys,
) -> list[Credential]:
    """A user's credentials of one type (`totp`, `ec2`, ...), the oldest first, decrypted. `keys` are those of
    `Login.credential_keys`."""
    return [opened(keys, row) for row in await db.fetch(OF_USER, user_id, type)]


async def credential_find(
    db: Any, keys: CredentialKeys, credential_id: str, *, lock: bool = False
) -> Credential | None:
    """The credential, whosever it is, or None. With `lock` nobody else changes it before the transaction ends."""
    row = await db.fetchrow(LOCK if lock else GET, credential_id)
    return None if row is None else opened(keys, row)


async def credential_by_access(db: Any, keys: CredentialKeys, access: str) -> Credential | None:
    """The EC2 credential with this access key, or None."""
    row = await db.fetchrow(BY_ACCESS, ec2_id(access))
    return None if row is None else opened(keys, row)


async def credential_insert(
    tx: Tx, keys: CredentialKeys, asked: Mapping[str, Any], *, extra: dict[str, Any], by: DelegationKey | None
) -> Credential:
    """Make a credential from a request's attributes; `by` is the delegation of the token that asks.

    Raises BadRequest, NotFound, Forbidden when the user has too many, Conflict when the access key is in use.
    """
    made = Credential(
        id=new_hex_id(),
        user_id=asked["user_id"],
        project_id=asked.get("project_id"),
        type=asked["type"],
        blob=asked["blob"],
        delegation_kind=by.kind if by is not None else None,
        delegation_id=by.id if by is not None else None,
        extra=extra,
    )
    access_hash = None
    if made.is_ec2:
        said = ec2_blob(made.blob)
        _refuse_claims(said, by)
        access_hash = ec2_id(said["access"])
        made = msgspec.structs.replace(made, id=access_hash, blob=_marked(made.blob, said, by))
    _need_project(made)
    await user_hold(tx, made.user_id)
    await tx.lock("identity.credential", made.user_id)
    if await tx.fetchval(COUNT, made.user_id) >= MOST_OF_A_USER:
        raise Forbidden(f"Unable to create additional credentials, a user has at most {MOST_OF_A_USER}.")
    await _insert(tx, keys, made, access_hash)
    event = CredentialCreated(
        credential_id=made.id, user_id=made.user_id, kind=made.type, in_project_id=made.project_id
    )
    tx.publish(event, project_id="")
    return made


async def _insert(tx: Tx, keys: CredentialKeys, made: Credential, access_hash: str | None) -> None:
    number, sealed = keys.seal(made.id, made.blob)
    values = (made.id, made.user_id, made.project_id, made.type, sealed, number, access_hash)
    try:
        done = await tx.fetchval(INSERT, *values, made.delegation_kind, made.delegation_id, made.extra, clock.now())
    except asyncpg.ForeignKeyViolationError:
        raise missing("project", str(made.project_id)) from None
    if done is None:
        raise Conflict("Conflict occurred attempting to store credential - the access key is in use.")


def _refuse_claims(said: Mapping[str, Any], by: DelegationKey | None) -> None:
    """What an EC2 blob says of delegations is ours to say. Raises BadRequest for what is not so."""
    for kind, name in BLOB_NAMES.items():
        if said.get(name) not in (None, by.id if by is not None and by.kind == kind else None):
            raise BadRequest(f"{name} cannot be set by the user of a credential.")


def _marked(blob: str, said: Mapping[str, Any], by: DelegationKey | None) -> str:
    if by is None:
        return blob
    return msgspec.json.encode({**said, BLOB_NAMES[by.kind]: by.id}).decode()


def _need_project(credential: Credential) -> None:
    if credential.is_ec2 and credential.project_id is None:
        raise BadRequest("Expecting to find project_id in credential: an EC2 credential is for one project.")


def credential_changed(old: Credential, asked: Mapping[str, Any], extra: dict[str, Any]) -> Credential:
    """`old` as a request wants it. Raises BadRequest for what may not change: where a delegation reaches."""
    new = msgspec.structs.replace(
        old,
        user_id=asked.get("user_id", old.user_id),
        project_id=asked.get("project_id", old.project_id),
        type=asked.get("type", old.type),
        blob=asked.get("blob", old.blob),
        extra=extra,
    )
    if old.delegation_id is not None and (new.user_id, new.project_id) != (old.user_id, old.project_id):
        raise BadRequest("The user and the project of a credential that a delegation made cannot be updated.")
    _need_project(new)
    if new.is_ec2:
        _same_claims(new)
    return new


def _same_claims(new: Credential) -> None:
    said = ec2_blob(new.blob)
    for kind, name in BLOB_NAMES.items():
        if said.get(name) != (new.delegation_id if new.delegation_kind == kind else None):
            raise BadRequest(f"{name} can not be updated for credential")


async def credential_update(tx: Tx, keys: CredentialKeys, old: Credential, new: Credential) -> None:
    """Store `new` instead of `old`, which the caller has locked; tokens made by it are revoked.

    Raises NotFound for an unknown user or project, Conflict for an access key that is in use.
    """
    number, sealed = keys.seal(new.id, new.blob)
    access_hash = ec2_id(ec2_blob(new.blob)["access"]) if new.is_ec2 else None
    if new.user_id != old.user_id:
        await user_hold(tx, new.user_id)
    try:
        await tx.execute(
            UPDATE, new.id, new.user_id, new.project_id, new.type, sealed, number, access_hash, new.extra
        )  # fmt: skip
    except asyncpg.ForeignKeyViolationError:
        raise missing("project", str(new.project_id)) from None
    except asyncpg.UniqueViolationError:
        raise Conflict("Conflict occurred attempting to store credential - the access key is in use.") from None
    names = ("user_id", "project_id", "type", "blob", "extra")
    changed = [name for name in names if getattr(new, name) != getattr(old, name)]
    tx.publish(CredentialUpdated(credential_id=new.id, user_id=new.user_id, changed=changed), project_id="")
    if old.is_ec2 and changed not in ([], ["extra"]):
        await revoke(tx, {"delegation_id": old.id})


async def credential_delete(tx: Tx, credential: Credential) -> None:
    """Delete a credential and revoke the tokens made by it. Raises NotFound."""
    if await tx.execute(DELETE, credential.id) != "DELETE 1":
        raise missing("credential", credential.id)
    tx.publish(CredentialDeleted(credential_id=credential.id, user_id=credential.user_id), project_id="")
    if credential.is_ec2:
        await revoke(tx, {"delegation_id": credential.id})


def credential_view(credential: Credential, base: str, *, secret: bool) -> dict[str, Any]:
    """A credential as the API shows it; its blob is null without `secret`."""
    return {
        **credential.extra,
        "id": credential.id,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "type": credential.type,
        "blob": credential.blob if secret else None,
        "links": {"self": f"{base}/credentials/{credential.id}"},
    }
