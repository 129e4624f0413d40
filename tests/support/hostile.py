"""Requests to any route, made from the routes table and the schemas of bodies: proper ones, and ones that are not."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from skybus.http import schemas
from skybus.http.routes import NO_BODY, RAW, Api, Route
from skybus.http.versions import shown
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
}
"""What a variable stands for that follows this segment."""
VARIABLES = {
    "rule_id": "security_rule",
    "implied_id": "role",
    "target_id": "project",
    "tenant_id": "project",
    "request_id": "request",
}
LITERALS = {"key": "k", "tag": "t", "alias": "os-keypairs", "action": "enable", "name": "image"}
PRIVATE = (
    *("server", "keypair", "image", "shared_image", "network", "subnet", "port", "volume", "attachment", "operation"),
    *("request", "user", "project", "group", "credential", "member", "domain", "security_group", "security_rule"),
    *("agent", "hypervisor", "compute_service"),
)
"""Of an estate: what a member of another project may not see. Flavors, types, roles and the catalog are for all."""
REFERENCES = {
    "imageRef": "image",
    "flavorRef": "flavor",
    "volumeId": "loose_volume",
    "network_id": "network",
    "subnet_id": "subnet",
    "project_id": "project",
    "tenant_id": "project",
    "tenant": "project",
    "project": "project",
    "user_id": "user",
    "service_id": "service",
    "member": "member",
}
VALUES: dict[str, Any] = {
    "cidr": "10.77.0.0/24",
    "ip_version": 4,
    "host": "h1",
    "binary": "nova-compute",
    "url": "http://x.test/",
    "methods": ["password"],
    "size": 1,
    "metadata": {"k": "w"},
    "meta": {"k": "w"},
    "extra_specs": {"k": "2"},
    "path": "/name",
    "op": "replace",
    "value": "w",
}


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


# --- bodies


def schema_of(name: str) -> dict[str, Any]:
    """A schema as it stands in its file."""
    found: dict[str, Any] = json.loads(schemas.path_of(name).read_bytes())
    return found


def _plain(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A schema with its reference and its alternatives decided: the last of an `if`, the first of others."""
    if "$ref" in schema:
        return _plain(root["definitions"][schema["$ref"].rsplit("/", 1)[1]], root)
    if "else" in schema:
        return _plain(schema["else"], root)
    for word in ("oneOf", "anyOf"):
        if word in schema:
            return _plain(schema[word][0], root)
    return schema


def body_of(name: str, estate: Mapping[str, str]) -> Any:
    """The smallest proper body: what the schema requires, and where it requires nothing, its first property."""
    if name == "compute/server-action":
        return {"reboot": {"type": "SOFT"}}
    if name == "identity/auth-create":
        user = {"id": estate["user"], "password": "wrong"}
        return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    if name == "image/image-create":
        return {"name": "x"}
    root = schema_of(name)
    body = _example(root, "", root, estate)
    if name == "compute/server-create":
        body["server"] |= {"imageRef": estate["image"], "networks": [{"uuid": estate["network"]}]}
    if name == "compute/volume-attachment-update":
        body["volumeAttachment"]["volumeId"] = estate["volume"]
    schemas.check(name, body)
    return body


def _example(schema: dict[str, Any], key: str, root: dict[str, Any], estate: Mapping[str, str]) -> Any:
    schema = _plain(schema, root)
    if key in REFERENCES and schema.get("type") != "object":
        return estate[REFERENCES[key]]
    if key in VALUES:
        return VALUES[key]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return _object(schema, root, estate)
    if kind == "array":
        return [_example(schema["items"], key, root, estate)] if "items" in schema else []
    if kind == "integer":
        return max(1, schema.get("minimum", 1))
    return {"boolean": True, "null": None}.get(str(kind), "x")


def _object(schema: dict[str, Any], root: dict[str, Any], estate: Mapping[str, str]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    chosen = schema.get("required") or list(properties)[:1]
    if properties and not schema.get("required") and "op" in properties:
        chosen = ["op", "path", "value"]
    if not properties:
        kind = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), {})
        return {"k": _example(kind, "", root, estate)} if isinstance(kind, dict) and kind else {}
    return {one: _example(properties[one], one, root, estate) for one in chosen}


def fields(name: str) -> list[tuple[str, ...]]:
    """The paths of every property that a schema knows, down to the third level."""
    root = schema_of(name)
    found: list[tuple[str, ...]] = []

    def walk(schema: dict[str, Any], at: tuple[str, ...]) -> None:
        for key, inner in _plain(schema, root).get("properties", {}).items():
            found.append((*at, key))
            if len(at) < 3:
                walk(inner, (*at, key))

    walk(root, ())
    return found


def with_value(body: Any, at: tuple[str, ...], value: Any) -> Any:
    """A copy of `body` with one value put at a place."""
    made = dict(body) if isinstance(body, dict) else {}
    made[at[0]] = value if len(at) == 1 else with_value(made.get(at[0], {}), at[1:], value)
    return made


def top_level_garbage(proper: Any) -> Iterator[tuple[str, bytes]]:
    """Bodies that no route may take, each with a name."""
    yield "malformed", b'{"a": '
    yield "nothing", b""
    yield "not UTF-8", b'{"a": "\xff\xfe"}'
    for name, body in (("string", "x"), ("number", 3), ("null", None), ("true", True), ("nested lists", [[[]]])):
        yield name, json.dumps(body).encode()
    yield "deep lists", b"[" * 5000 + b"]" * 5000
    yield "deep objects", b'{"a":' * 5000 + b"1" + b"}" * 5000
    yield "a number of 5,000 digits", b"9" * 5000
    yield "a number beyond floats", b"1e999"
    if isinstance(proper, dict) and proper:
        key = next(iter(proper))
        deep = b'{"' + key.encode() + b'":' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}"
        yield "deep inside", deep
        for name, value in (("wrong type", True), ("wrong list", [3])):
            yield name, json.dumps({key: value}).encode()
        for name, text in (("a lone surrogate", '"\\ud800"'), ("NUL", '"\\u0000"'), ("a raw NUL", '"\0"')):
            yield name, json.dumps({**proper, key: "PUT"}).replace('"PUT"', text).encode()


HOSTILE: tuple[tuple[str, Any], ...] = (
    ("null", None),
    ("false", False),
    ("30 digits", 10**29),
    ("-1", -1),
    ("0.5", 0.5),
    ("1e308", 1e308),
    ("int64 + 1", 2**63),
    ("int32 + 1", 2**31),
    ("empty", ""),
    ("long", "x" * 10_000),
    ("quotes", "'\";--%\\"),
    ("regex", "((((("),
    ("controls", "\x01\x7f\u2028\U0001f600"),
    ("digits", "9" * 40),
    ("list", []),
    ("nested list", [[1], {"a": None}]),
    ("object", {}),
    ("strange object", {"a": {"b": [1]}}),
)
"""Values for any field: some field takes each of them, none may fall over it."""
