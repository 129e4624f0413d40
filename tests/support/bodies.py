"""Bodies made from the schemas under schemas/api: proper ones, and ones that break in every field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from skybus.http import schemas

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
    "region_id": "region",
    "mapping_id": "mapping",
    "trustor_user_id": "user",
    "trustee_user_id": "trustee",
    "member": "member",
}
VALUES: dict[str, Any] = {
    "cidr": "10.77.0.0/24",
    "ip_version": 4,
    "host": "h1",
    "binary": "nova-compute",
    "url": "http://x.test/",
    "auth_url": "http://x.test/",
    "sp_url": "http://x.test/",
    "interface": "public",
    "methods": ["password"],
    "size": 1,
    "metadata": {"k": "w"},
    "meta": {"k": "w"},
    "extra_specs": {"k": "2"},
    "path": "/name",
    "op": "replace",
    "value": "w",
}


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
    if name in ("identity/region-create", "identity/region-update"):
        return {"region": {"description": "x"}}
    if name == "identity/domain-config":
        return {"config": {"ldap": {"url": "ldap://127.0.0.1:1"}}}
    if name == "identity/limits-create":
        asked = {"service_id": estate["service"], "resource_name": "things", "resource_limit": 4}
        return {"limits": [{**asked, "domain_id": estate["domain"]}]}
    if name == "volume/volume-create":
        return {"volume": {"size": 1}}
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
    said = schema.get("type")
    kind = said[0] if isinstance(said, list) else said
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
        any_other: Any = schema.get("additionalProperties") or next(
            iter(schema.get("patternProperties", {}).values()), {}
        )
        return {"k": _example(any_other, "", root, estate)} if isinstance(any_other, dict) and any_other else {}
    return {one: _example(properties[one], one, root, estate) for one in chosen}


def fields(name: str) -> list[tuple[str, ...]]:
    """The paths of every property that a schema knows, down to the fourth level; `[]` goes into a list."""
    root = schema_of(name)
    found: list[tuple[str, ...]] = []

    def walk(schema: dict[str, Any], at: tuple[str, ...]) -> None:
        schema = _plain(schema, root)
        if len(at) > 4:
            return
        if isinstance(schema.get("items"), dict):
            found.append((*at, "[]"))
            walk(schema["items"], (*at, "[]"))
        for key, inner in schema.get("properties", {}).items():
            found.append((*at, key))
            walk(inner, (*at, key))

    walk(root, ())
    return found


def with_value(body: Any, at: tuple[str, ...], value: Any) -> Any:
    """A copy of `body` with one value put at a place."""
    if at[0] == "[]":
        first = body[0] if isinstance(body, list) and body else {}
        return [value if len(at) == 1 else with_value(first, at[1:], value)]
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
