"""The end of application credentials whose user has lost a role that they carry."""

from __future__ import annotations

from skybus.identity.auth.revocations import revoke
from skybus.identity.roles.assignments import Grant, effective_roles
from skybus.messages.identity import ApplicationCredentialDeleted
from skybus.store import Tx

PROJECTS = "SELECT DISTINCT project_id FROM identity.application_credential WHERE user_id = $1"
END = """
DELETE FROM identity.application_credential c
 WHERE c.user_id = $1 AND c.project_id = $2
   AND EXISTS (SELECT 1 FROM identity.application_credential_role x
                WHERE x.credential_id = c.id AND x.role_id <> ALL ($3::text[]))
RETURNING c.id
"""


async def credentials_end(tx: Tx, grant: Grant) -> None:
    """Delete what a user made of a role that it has lost with `grant`, which is gone already: given the role again, the
    user makes new ones. A role that came by a group leaves credentials as they are, without the role."""
    if grant.user_id is None or grant.target_id is None:
        return
    projects = [grant.target_id]
    if grant.inherited:
        projects = [row["project_id"] for row in await tx.fetch(PROJECTS, grant.user_id)]
    ended = []
    for project_id in projects:
        left = [row["id"] for row in await effective_roles(tx, grant.user_id, project_id)]
        ended += [row["id"] for row in await tx.fetch(END, grant.user_id, project_id, left)]
    for credential_id in ended:
        event = ApplicationCredentialDeleted(application_credential_id=credential_id, user_id=grant.user_id)
        tx.publish(event, project_id="")
    await revoke(tx, *({"delegation_id": credential_id} for credential_id in ended))
