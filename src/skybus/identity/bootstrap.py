"""What a cloud has from its first second: a domain, an administrator, the roles, the catalog."""

from __future__ import annotations

from typing import Any

import msgspec

from skybus import clock
from skybus.identity.catalog.endpoints import endpoint_insert
from skybus.identity.catalog.services import service_insert
from skybus.identity.login.passwords import check_now, hash_now
from skybus.identity.people import users
from skybus.identity.projects import projects
from skybus.identity.projects.projects import DEFAULT_DOMAIN
from skybus.identity.roles import roles
from skybus.identity.roles.assignments import Grant, grant_exists, grant_insert
from skybus.identity.roles.roles import IMPLY
from skybus.ids import derived_id
from skybus.store import Tx

ROLES = ("admin", "manager", "member", "reader", "service")
CHAIN = (("admin", "manager"), ("manager", "member"), ("member", "reader"))
INTERFACES = ("public", "internal", "admin")
SERVICES = (
    ("identity", "keystone", "/identity"),
    ("compute", "nova", "/compute/v2.1"),
    ("image", "glance", "/image"),
    ("volumev3", "cinderv3", "/volume/v3"),
    ("block-storage", "cinder", "/volume/v3"),
    ("network", "neutron", "/network"),
    ("event-stream", "skybus-events", "/events/v1"),
)
"""(type, name, path behind the public URL)."""
URL_UPDATE = "UPDATE identity.endpoint SET url = $2 WHERE id = $1 AND url <> $2"
REGION_ADD = "INSERT INTO identity.region (id, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"
SERVICE_IS = "SELECT true FROM identity.service WHERE id = $1"
ENDPOINT_IS = "SELECT true FROM identity.endpoint WHERE id = $1"


class Bootstrapped(msgspec.Struct, frozen=True, kw_only=True):
    """The ids of what every cloud has."""

    domain_id: str
    project_id: str
    user_id: str
    role_ids: dict[str, str]


async def bootstrap(
    tx: Tx, *, admin_password: str, public_url: str, region: str = "RegionOne", rounds: int = 12
) -> Bootstrapped:
    """Make what is missing of the default domain, the project and the user `admin`, the roles and the catalog.

    Run again, it puts back what was lost, sets the administrator's password if it is another, and moves the endpoints
    of its own making to `public_url`. Blocks the loop for a password hash or two.
    """
    await tx.lock("identity", "bootstrap")
    if await projects.project_find(tx, DEFAULT_DOMAIN) is None:
        asked = {"name": "Default", "description": "The default domain"}
        await projects.domain_insert(tx, asked, DEFAULT_DOMAIN)
    project = await projects.project_by_name(tx, DEFAULT_DOMAIN, "admin")
    if project is None:
        asked = {"name": "admin", "description": "Bootstrap project for initializing the cloud."}
        project = await projects.project_insert(tx, asked, DEFAULT_DOMAIN)
    user_id = await _administrator(tx, admin_password, rounds)
    role_ids = await _roles(tx)
    for target_id in (project["id"], DEFAULT_DOMAIN, None):
        grant = Grant(role_id=role_ids["admin"], user_id=user_id, target_id=target_id)
        if not await grant_exists(tx, grant):
            await grant_insert(tx, grant)
    await _catalog(tx, public_url.rstrip("/"), region)
    return Bootstrapped(domain_id=DEFAULT_DOMAIN, project_id=project["id"], user_id=user_id, role_ids=role_ids)


async def _administrator(tx: Tx, password: str, rounds: int) -> str:
    row = await tx.fetchrow(users.LOGIN_BY_NAME, DEFAULT_DOMAIN, "admin")
    if row is None:
        row = await users.user_insert(tx, {"name": "admin"}, DEFAULT_DOMAIN, hash_now(password, rounds))
    elif not row["enabled"] or row["hash"] is None or not check_now(password, row["hash"]):
        await users.user_update(tx, row["id"], {"enabled": True}, hash_now(password, rounds))
    return str(row["id"])


async def _roles(tx: Tx) -> dict[str, str]:
    found: dict[str, Any] = {name: await roles.role_by_name(tx, name) for name in ROLES}
    ids = {name: (row or await roles.role_insert(tx, _role(name)))["id"] for name, row in found.items()}
    for prior, implied in CHAIN:
        await tx.execute(IMPLY, ids[prior], ids[implied])
    return ids


def _role(name: str) -> dict[str, Any]:
    """Immutable, for everybody's rights hang on these roles: who means to change one takes that off first."""
    return {"name": name, "options": {"immutable": True}}


async def _catalog(tx: Tx, public_url: str, region: str) -> None:
    """Services and endpoints by ids that follow from their names, so that a second run finds its own."""
    await tx.execute(REGION_ADD, region, clock.now())
    for kind, name, path in SERVICES:
        service_id = derived_id("service", kind).replace("-", "")
        if not await tx.fetchval(SERVICE_IS, service_id):
            await service_insert(tx, {"type": kind, "name": name}, service_id)
        for interface in INTERFACES:
            endpoint_id = derived_id("endpoint", region, kind, interface).replace("-", "")
            url = public_url + path
            if await tx.fetchval(ENDPOINT_IS, endpoint_id):
                await tx.execute(URL_UPDATE, endpoint_id, url)
            else:
                asked = {"service_id": service_id, "interface": interface, "region_id": region, "url": url}
                await endpoint_insert(tx, asked, endpoint_id)
