"""Requests to any route, made from the routes table; and whether a refusal is in its API's own form."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from skybus.http.routes import NO_BODY, RAW, Api, Route
from skybus.http.versions import shown
from support.bodies import body_of
from support.front import Answer, Client

DEADLINE = 20.0
VARIABLE = re.compile(r"\{([a-z_]+)(?::path)?\}")
SEGMENTS = {
    "servers": "server",
    "flavors": "flavor",
    "os-quota-sets": "project",
    "os-hypervisors": "hypervisor",
    "os-services": "compute_service",
    "os-simple-tenant-usage": "project",
    "os-keypairs": "keypair",
    "security-groups": "security_group",
    "credentials": "user_credential",
    "application_credentials": "credential",
    "config": "config_group",
}
"""What a variable stands for that follows this segment."""
VARIABLES = {
    "rule_id": "security_rule",
    "implied_id": "role",
    "target_id": "project",
    "tenant_id": "project",
    "request_id": "request",
}
LITERALS = {
    "config_group": "ldap",
    "option": "url",
    "key": "k",
    "tag": "t",
    "alias": "os-keypairs",
    "action": "enable",
    "name": "image",
    "document": "namespace",
    "object_name": "w",
    "property_name": "w",
    "tag_name": "w",
    "resource_type": "OS::Glance::Image",
}
PRIVATE = (
    *("server", "keypair", "image", "shared_image", "network", "subnet", "port", "volume", "attachment", "operation"),
    *("request", "user", "project", "group", "credential", "member", "domain", "security_group", "security_rule"),
    *("agent", "hypervisor", "compute_service", "user_credential", "access", "access_rule", "trust", "limit", "event"),
    "namespace",
)
"""Of an estate: what a member of another project may not see. Flavors, types, roles and the catalog are for all."""
MEDIA = {RAW: "application/octet-stream", "image/image-patch": "application/openstack-images-v2.1-json-patch"}


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request; `str` is how an offence names it."""

    api: Api
    route: Route
    path: str
    query: str = ""
    data: bytes | None = None
    headers: Mapping[str, str] = {}

    def __str__(self) -> str:
        body = f" {self.data[:160]!r}" if self.data is not None else ""
        return f"{self.route.method} {self.path[:160]}{self.query[:90]}{body}"


def named(api: Api, route: Route) -> list[str]:
    """What the variables of a route stand for, in order: names of an estate, or of LITERALS."""
    segments, found = route.path.split("/"), []
    for before, segment in zip(["", *segments], segments, strict=False):
        match = VARIABLE.fullmatch(segment)
        if match is None:
            continue
        name = match.group(1)
        if (before in SEGMENTS and name not in LITERALS) or before == "os-keypairs":
            found.append(SEGMENTS[before])
        elif "/members" in route.path and name == "image_id":
            found.append("shared_image")
        else:
            found.append(VARIABLES.get(name) or name.removesuffix("_id"))
    return found


def path_of(api: Api, route: Route, estate: Mapping[str, str], **instead: str) -> str:
    """The path of a route with an estate's ids; `instead` replaces some of them, percent-encoded by the caller."""
    names = iter(named(api, route))

    def value(_: re.Match[str]) -> str:
        name = next(names)
        return instead.get(name) or quote(estate.get(name) or LITERALS.get(name, "nothing"), safe="")

    return api.prefix + VARIABLE.sub(value, route.path)


def exists(api: Api, route: Route) -> bool:
    """Whether the route is there in any version that its API speaks."""
    if api.versions is None:
        return True
    highest = api.versions.lowest if api.versions.fixed else api.versions.highest
    return route.since <= highest and route.until >= api.versions.lowest


def version_headers(api: Api, route: Route) -> dict[str, str]:
    """What asks for the newest microversion in which the route exists."""
    if api.versions is None or api.versions.fixed:
        return {}
    version = min(api.versions.highest, route.until)
    return {"OpenStack-API-Version": f"{api.versions.service} {shown(version)}"}


def ask(api: Api, route: Route, estate: Mapping[str, str], *, data: bytes | None = None, query: str = "") -> Ask:
    """A proper request, with a proper body unless `data` is another."""
    if data is None and route.body == RAW:
        data = b"\0" * 512
    if data is None and route.body != NO_BODY:
        data = json.dumps(body_of(route.body, estate)).encode()
    kind = {"Content-Type": MEDIA.get(route.body, "application/json")}
    headers = {**version_headers(api, route), **(kind if data is not None else {})}
    return Ask(api=api, route=route, path=path_of(api, route, estate), query=query, data=data, headers=headers)


async def send(client: Client, asked: Ask, token: str | None, headers: Mapping[str, str] | None = None) -> Answer:
    """Ask it. Of an endless answer nothing but its head is read."""
    sent = {**asked.headers, **(headers or {}), **({"X-Auth-Token": token} if token else {})}
    url = URL(client.url + asked.path + asked.query, encoded=True)
    async with (
        asyncio.timeout(DEADLINE),
        client.http.request(asked.route.method, url, data=asked.data, headers=sent) as response,
    ):
        if response.headers.get("Content-Type", "").startswith("text/event-stream"):
            response.close()
            return Answer(response.status, response.headers, b"", None)
        return _read(response, await response.read())


def _read(response: aiohttp.ClientResponse, raw: bytes) -> Answer:
    body = json.loads(raw) if raw and "json" in response.headers.get("Content-Type", "") else None
    return Answer(response.status, response.headers, raw, body)


def malformed(asked: Ask, answer: Answer) -> str:
    """Why a refusal is not in its API's own form; empty when it is. HEAD and what aiohttp itself refuses have none."""
    form = getattr(asked.api.error_body, "__name__", "")
    headers = asked.api.request_id_headers
    if not any(answer.headers.get(name, "").startswith("req-") for name in headers):
        return "no request id"
    body = answer.body
    if asked.api.error_body.__module__.endswith("http.bodies") and form == "image":
        return "" if answer.data.startswith(b"<html>") else "not a page"
    if not isinstance(body, dict) or len(body) != 1:
        return "not an object with one key"
    ((key, inside),) = body.items()
    if key == "errors":
        good = isinstance(inside, list) and inside[0]["status"] == answer.status and inside[0]["request_id"]
    elif key == "NeutronError":
        good = isinstance(inside, dict) and {"type", "message", "detail"} <= set(inside)
    else:
        good = isinstance(inside, dict) and inside.get("code") == answer.status and bool(inside.get("message"))
    return "" if good else "not the API's form"
