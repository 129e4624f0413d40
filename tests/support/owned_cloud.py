"""A small cloud with real tokens, in which a project owns one of each resource and other callers stand around it.

`Estate` is what somebody owns, by the name that a route's path gives it. There are two: `owned`, which nothing may
touch, and `spare`, which a test may wear out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from skybus.http.caller import Caller
from skybus.identity import Identity, Tokens, bootstrap, keys_ensure
from skybus.identity.auth.keys import Keys
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.login.passwords import Passwords
from skybus.ids import new_hex_id
from skybus.store.tail import Tail
from support.front import Answer
from support.identity_estate import furnish_identity
from support.small_cloud import SmallCloud, small_cloud

PASSWORD = "correct horse battery staple"
ROUNDS = 4
BUILDER = "alice:p1:member,reader"
"""The token that a small cloud's own methods send; here it stands for the real one of an estate's owner."""
SCHEMAS = ("compute", "events", "identity", "image", "network", "placement", "saga", "volume")
TABLES = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = ANY($1) ORDER BY 1"

Estate = dict[str, str]


class OwnedCloud:
    """`tokens` holds one for each caller: owner, reader, stranger, boss (an administrator) and expired."""

    def __init__(self, cloud: SmallCloud, identity: Identity) -> None:
        self.cloud, self.identity, self.client = cloud, identity, cloud.client
        self.tokens: dict[str, str] = {}
        self.roles: dict[str, str] = {}
        self.owned: Estate = {}
        self.spare: Estate = {}

    async def authenticate(self, token: str) -> Caller:
        """As the gateway does it."""
        return await self.identity.tokens.authenticate(self.tokens["builder"] if token == BUILDER else token)

    async def call(self, method: str, path: str, body: Any = None, token: str = "boss", status: int = 201) -> Any:
        """The body of an answer that must have `status`."""
        answer: Answer = await self.client.call(method, path, body, token=self.tokens[token])
        assert answer.status == status, (method, path, answer)
        return answer.body

    async def token(self, user_id: str, project_id: str) -> str:
        """A token by password."""
        identity = {"methods": ["password"], "password": {"user": {"id": user_id, "password": PASSWORD}}}
        asked = {"auth": {"identity": identity, "scope": {"project": {"id": project_id}}}}
        answer = await self.client.call("POST", "/identity/v3/auth/tokens", asked, token=None)
        assert answer.status == 201, answer
        return str(answer.headers["X-Subject-Token"])

    async def user(self, project_id: str, role: str) -> tuple[str, str]:
        """A new user with a role on a project, and a token of it."""
        asked = {"name": new_hex_id(), "password": PASSWORD, "email": f"{new_hex_id()}@owner.test"}
        made = await self.call("POST", "/identity/v3/users", {"user": asked})
        user_id = str(made["user"]["id"])
        grant = f"/identity/v3/projects/{project_id}/users/{user_id}/roles/{self.roles[role]}"
        await self.call("PUT", grant, status=204)
        return user_id, await self.token(user_id, project_id)

    async def project(self) -> str:
        """A new project."""
        made = await self.call("POST", "/identity/v3/projects", {"project": {"name": new_hex_id(), "tags": ["t"]}})
        return str(made["project"]["id"])

    async def rows(self) -> set[str]:
        """Every row of every table of the services, as text."""
        found: set[str] = set()
        for table in [row[0] for row in await self.cloud.store.fetch(TABLES, list(SCHEMAS))]:
            for row in await self.cloud.store.fetch(f"SELECT t::text FROM {table} t"):
                found.add(f"{table} {row[0]}")
        return found


async def _estate(cloud: OwnedCloud, number: int) -> Estate:
    """One of each, owned by a new member of a new project."""
    estate: Estate = {"project": await cloud.project()}
    estate["user"], cloud.tokens["builder"] = await cloud.user(estate["project"], "member")
    await furnish_identity(cloud, estate)
    small = cloud.cloud
    estate["image"] = await small.image()
    estate["network"] = await small.network(f"n-{new_hex_id()}", f"10.{number}.0.0/24")
    estate["server"] = await small.server_asked(
        [estate["network"]], estate["image"], metadata={"k": "v"}, name=new_hex_id()
    )
    await small.run()
    estate["volume"], estate["loose_volume"] = await small.volume(), await small.volume()
    await small.attach(estate["server"], estate["volume"])
    await small.run()
    await _looked_up(cloud, estate)
    await _sundries(cloud, estate)
    await _definitions(cloud, estate)
    return estate


async def _looked_up(cloud: OwnedCloud, estate: Estate) -> None:
    """What came into being along with the rest."""
    store = cloud.cloud.store
    for name, sql, key in (
        ("port", "SELECT id FROM network.port WHERE server_id = $1", "server"),
        ("subnet", "SELECT id FROM network.subnet WHERE network_id = $1", "network"),
        ("attachment", "SELECT id FROM volume.attachment WHERE volume_id = $1", "volume"),
        ("operation", "SELECT id FROM saga.operation WHERE resource_id = $1 LIMIT 1", "server"),
        ("request", "SELECT request_id FROM saga.operation WHERE resource_id = $1 LIMIT 1", "server"),
    ):
        estate[name] = str(await store.fetchval(sql, estate[key]))
    groups = await cloud.call("GET", "/network/v2.0/security-groups", token="builder", status=200)
    for group in groups["security_groups"][:1]:
        estate["security_group"] = str(group["id"])
        for rule in group["security_group_rules"][:1]:
            estate["security_rule"] = str(rule["id"])
    agents = await cloud.call("GET", "/network/v2.0/agents", status=200)
    estate["agent"] = str(agents["agents"][0]["id"])
    found = await cloud.call("GET", "/compute/v2.1/os-hypervisors", status=200)
    estate["hypervisor"] = str(found["hypervisors"][0]["id"])
    found = await cloud.call("GET", "/compute/v2.1/os-services", status=200)
    estate["compute_service"] = str(found["services"][0]["id"])


async def _definitions(cloud: OwnedCloud, estate: Estate) -> None:
    estate["namespace"] = f"ns-{new_hex_id()}"
    colour = {"title": "Colour", "type": "string"}
    asked = {
        "namespace": estate["namespace"],
        "owner": estate["project"],
        "objects": [{"name": "w", "properties": {"colour": colour}}],
        "properties": {"w": colour},
        "tags": [{"name": "w"}],
        "resource_type_associations": [{"name": "OS::Glance::Image"}],
    }
    await cloud.call("POST", "/image/v2/metadefs/namespaces", asked)


async def _sundries(cloud: OwnedCloud, estate: Estate) -> None:
    estate["keypair"] = f"key-{new_hex_id()}"
    asked: dict[str, Any] = {"keypair": {"name": estate["keypair"]}}
    await cloud.call("POST", "/compute/v2.1/os-keypairs", asked, token="builder", status=200)
    asked = {"flavor": {"name": new_hex_id(), "ram": 64, "vcpus": 1, "disk": 1}}
    made = await cloud.call("POST", "/compute/v2.1/flavors", asked, status=200)
    estate["flavor"] = str(made["flavor"]["id"])
    specs = {"extra_specs": {"k": "1"}}
    await cloud.call("POST", f"/compute/v2.1/flavors/{estate['flavor']}/os-extra_specs", specs, status=200)
    made = await cloud.call(
        "POST", "/volume/v3/types", {"volume_type": {"name": new_hex_id(), "extra_specs": {"k": "1"}}}, status=200
    )
    estate["type"] = str(made["volume_type"]["id"])
    path = f"/volume/v3/volumes/{estate['volume']}/metadata"
    await cloud.call("POST", path, {"metadata": {"k": "v"}}, token="builder", status=200)
    await cloud.call("PUT", f"/image/v2/images/{estate['image']}/tags/t", token="builder", status=204)
    queued = {"name": new_hex_id(), "disk_format": "raw", "container_format": "bare", "visibility": "shared"}
    made = await cloud.call("POST", "/image/v2/images", queued, token="builder")
    estate["shared_image"] = str(made["id"])
    path = f"/image/v2/images/{estate['shared_image']}/members"
    estate["member"] = await cloud.project()
    await cloud.call("POST", path, {"member": estate["member"]}, token="builder", status=200)


@asynccontextmanager
async def owned_cloud(folder: Path) -> AsyncIterator[OwnedCloud]:
    """The cloud, furnished."""
    keys_ensure(folder / "keys")
    passwords = Passwords(ROUNDS)
    try:
        async with small_cloud(folder / "cloud") as small:
            async with small.store.transaction() as tx:
                made = await bootstrap(tx, admin_password=PASSWORD, public_url=small.client.url, rounds=ROUNDS)
            identity = Identity(small.store, Tokens(Keys(folder / "keys")), passwords)
            keys_ensure(folder / "credential-keys")
            identity.login.credential_keys = CredentialKeys(folder / "credential-keys")
            await identity.tokens.load(small.store)
            cloud = OwnedCloud(small, identity)
            dispatcher = small.client.dispatcher
            dispatcher.authenticate = cloud.authenticate
            dispatcher.services = {**dispatcher.services, **identity.services()}
            cloud.roles = made.role_ids
            await _people(cloud, made.user_id, made.project_id)
            try:
                yield cloud
            finally:
                # As when a gateway stops: streams whose readers have gone end at once.
                small.store.tail = Tail(small.store)
                await small.store.tail.close()
    finally:
        passwords.close()


async def _people(cloud: OwnedCloud, admin_id: str, project_id: str) -> None:
    """Everybody, and what they own. The expired token was good two days ago."""
    small = cloud.cloud
    small.time -= timedelta(days=2)
    cloud.tokens["expired"] = await cloud.token(admin_id, project_id)
    small.time += timedelta(days=2)
    cloud.tokens["boss"] = await cloud.token(admin_id, project_id)
    cloud.spare = await _estate(cloud, 2)
    cloud.tokens["spender"] = cloud.tokens["builder"]
    cloud.owned = await _estate(cloud, 1)
    cloud.tokens["owner"] = cloud.tokens["builder"]
    _, cloud.tokens["reader"] = await cloud.user(cloud.owned["project"], "reader")
    _, cloud.tokens["stranger"] = await cloud.user(await cloud.project(), "member")
