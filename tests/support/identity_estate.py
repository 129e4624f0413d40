"""What somebody owns in identity, one of each noun that a route's path can name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from oauthlib.oauth1 import Client

from skybus import clock
from skybus.ids import new_hex_id

if TYPE_CHECKING:
    from support.owned_cloud import Estate, OwnedCloud

V3 = "/identity/v3"


async def furnish_identity(cloud: OwnedCloud, estate: Estate) -> None:
    """One of each, the owner's where that can be, in the order in which they need each other."""
    await _catalog(cloud, estate)
    await _people(cloud, estate)
    await _owners_own(cloud, estate)
    await _oauth(cloud, estate)
    await _federation(cloud, estate)
    await _limits(cloud, estate)
    found = await cloud.call("GET", f"{V3}/audit_events?user_id={estate['user']}&limit=1", status=200)
    estate["event"] = str(found["audit_events"][0]["id"])


async def _made(cloud: OwnedCloud, path: str, noun: str, asked: Mapping[str, Any], **more: Any) -> str:
    made = await cloud.call("POST", V3 + path, {noun: asked}, **more)
    return str(made[noun]["id"])


async def _catalog(cloud: OwnedCloud, estate: Estate) -> None:
    estate["region"] = await _made(cloud, "/regions", "region", {"id": new_hex_id()})
    estate["service"] = await _made(cloud, "/services", "service", {"name": new_hex_id(), "type": new_hex_id()})
    asked = {"interface": "public", "url": "http://e.test/", "service_id": estate["service"]}
    estate["endpoint"] = await _made(cloud, "/endpoints", "endpoint", asked)
    group = {"name": new_hex_id(), "filters": {"interface": "public", "service_id": estate["service"]}}
    estate["endpoint_group"] = await _made(cloud, "/OS-EP-FILTER/endpoint_groups", "endpoint_group", group)
    estate["policy"] = await _made(cloud, "/policies", "policy", {"type": "text/plain", "blob": "x"})
    of_service = f"services/{estate['service']}"
    for part in (f"endpoints/{estate['endpoint']}", of_service, f"{of_service}/regions/{estate['region']}"):
        await cloud.call("PUT", f"{V3}/policies/{estate['policy']}/OS-ENDPOINT-POLICY/{part}", status=204)


async def _people(cloud: OwnedCloud, estate: Estate) -> None:
    estate["group"] = await _made(cloud, "/groups", "group", {"name": new_hex_id()})
    estate["role"] = await _made(cloud, "/roles", "role", {"name": new_hex_id()})
    estate["domain"] = await _made(cloud, "/domains", "domain", {"name": new_hex_id()})
    await cloud.call("PUT", f"{V3}/groups/{estate['group']}/users/{estate['user']}", status=204)
    # Options without a driver: they are kept, and nobody is asked.
    config = {"config": {"ldap": {"url": "ldap://127.0.0.1:1"}}}
    await cloud.call("PUT", f"{V3}/domains/{estate['domain']}/config", config)


async def _owners_own(cloud: OwnedCloud, estate: Estate) -> None:
    """What its owner alone can make."""
    user, project = estate["user"], estate["project"]
    asked: dict[str, Any] = {"name": new_hex_id()}
    asked["access_rules"] = [{"service": "compute", "method": "GET", "path": f"/{new_hex_id()}"}]
    made = await cloud.call(
        "POST", f"{V3}/users/{user}/application_credentials", {"application_credential": asked}, token="builder"
    )
    estate["credential"] = str(made["application_credential"]["id"])
    estate["access_rule"] = str(made["application_credential"]["access_rules"][0]["id"])
    blob = json.dumps({"seed": new_hex_id()})
    asked = {"user_id": user, "type": "cert", "blob": blob}
    estate["user_credential"] = await _made(cloud, "/credentials", "credential", asked, token="builder")
    path = f"{V3}/users/{user}/credentials/OS-EC2"
    made = await cloud.call("POST", path, {"tenant_id": project}, token="builder")
    estate["access"] = str(made["credential"]["access"])
    estate["trustee"] = await _made(cloud, "/users", "user", {"name": new_hex_id()})
    asked = {"trustor_user_id": user, "trustee_user_id": estate["trustee"], "impersonation": False}
    asked |= {"project_id": project, "roles": [{"name": "member"}]}
    estate["trust"] = await _made(cloud, "/OS-TRUST/trusts", "trust", asked, token="builder")


async def _federation(cloud: OwnedCloud, estate: Estate) -> None:
    rule = {"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "sub"}]}
    urls = {"auth_url": "http://sp.test/auth", "sp_url": "http://sp.test/sp"}
    for name in ("idp", "mapping", "protocol", "sp"):
        estate[name] = new_hex_id()
    for path, asked in (
        (f"identity_providers/{estate['idp']}", {"identity_provider": {"enabled": True}}),
        (f"mappings/{estate['mapping']}", {"mapping": {"rules": [rule]}}),
        (
            f"identity_providers/{estate['idp']}/protocols/{estate['protocol']}",
            {"protocol": {"mapping_id": estate["mapping"]}},
        ),
        (f"service_providers/{estate['sp']}", {"service_provider": urls}),
    ):
        await cloud.call("PUT", f"{V3}/OS-FEDERATION/{path}", asked)


async def _limits(cloud: OwnedCloud, estate: Estate) -> None:
    service = estate["service"]
    asked: dict[str, Any] = {"service_id": service, "resource_name": "things", "default_limit": 10}
    made = await cloud.call("POST", f"{V3}/registered_limits", {"registered_limits": [asked]})
    estate["registered_limit"] = str(made["registered_limits"][0]["id"])
    asked = {"service_id": service, "resource_name": "things", "resource_limit": 5, "project_id": estate["project"]}
    made = await cloud.call("POST", f"{V3}/limits", {"limits": [asked]})
    estate["limit"] = str(made["limits"][0]["id"])


async def _oauth(cloud: OwnedCloud, estate: Estate) -> None:
    """A consumer whom the administrator lets act for it, and one more request that waits for the administrator's word:
    by Keystone's rules nobody else may give it."""
    made = await cloud.call("POST", f"{V3}/OS-OAUTH1/consumers", {"consumer": {}})
    consumer = made["consumer"]
    estate["consumer"] = str(consumer["id"])
    project_id = str(cloud.identity.tokens.claims(cloud.tokens["boss"]).project_id)
    tokens = [await _signed(cloud, "request_token", consumer, project_id) for _ in range(2)]
    estate["request_token"] = tokens[1]["oauth_token"]
    path = f"{V3}/OS-OAUTH1/authorize/{tokens[0]['oauth_token']}"
    said = await cloud.call("PUT", path, {"roles": [{"name": "member"}]}, status=200)
    verifier = said["token"]["oauth_verifier"]
    access = await _signed(cloud, "access_token", consumer, project_id, tokens[0], verifier)
    estate["access_token"] = access["oauth_token"]


async def _signed(
    cloud: OwnedCloud,
    what: str,
    consumer: Mapping[str, str],
    project_id: str,
    token: Mapping[str, str] | None = None,
    verifier: str | None = None,
) -> dict[str, str]:
    """The token that a consumer is given for a request that it signs."""
    own = (
        {"resource_owner_key": token["oauth_token"], "resource_owner_secret": token["oauth_token_secret"]}
        if token
        else {}
    )
    # OAuth has clocks in it, and the test cloud's stands still where it was told to.
    timestamp = str(int(clock.now().timestamp()))
    client = Client(consumer["id"], client_secret=consumer["secret"], timestamp=timestamp, verifier=verifier, **own)
    path = f"{V3}/OS-OAUTH1/{what}"
    _, headers, _ = client.sign(cloud.client.url + path, http_method="POST")
    headers = {**headers, "Requested-Project-Id": project_id}
    answer = await cloud.client.call("POST", path, token=None, headers=headers)
    assert answer.status == 201, answer
    return {name: values[0] for name, values in parse_qs(answer.data.decode()).items()}
