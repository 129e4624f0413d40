"""Policies of services, and whose they are (OS-ENDPOINT-POLICY): routes."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest, NotFound
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.catalog import policy_blob_associations as associations
from skybus.identity.catalog import policy_blobs
from skybus.identity.catalog.endpoints import endpoint_get, endpoint_view
from skybus.identity.catalog.policy_blob_associations import Association
from skybus.identity.catalog.regions import region_get
from skybus.identity.catalog.services import service_get
from skybus.identity.rows import body_of, change, listing, path_id, text_filter, whole


async def list_policies(call: Call) -> Reply:
    """`GET /policies`."""
    where = Where()
    text_filter(call, where, "type", "p.type")
    return await listing(call, "policies", policy_blobs.LIST, where, policy_blobs.policy_view, "p.id")


async def create_policy(call: Call) -> Reply:
    """`POST /policies`."""
    async with change(call) as tx:
        row = await policy_blobs.policy_insert(tx, body_of(call, "policy"))
    return _shown(call, row, 201)


async def show_policy(call: Call) -> Reply:
    """`GET /policies/{policy_id}`."""
    return _shown(call, await policy_blobs.policy_get(call.store, _policy_id(call)))


async def update_policy(call: Call) -> Reply:
    """`PATCH /policies/{policy_id}`."""
    asked = body_of(call, "policy")
    if asked.get("id", _policy_id(call)) != _policy_id(call):
        raise BadRequest("The id of a policy cannot be changed.")
    async with change(call) as tx:
        row = await policy_blobs.policy_update(tx, _policy_id(call), asked)
    return _shown(call, row)


async def delete_policy(call: Call) -> Reply:
    """`DELETE /policies/{policy_id}`."""
    async with change(call) as tx:
        await policy_blobs.policy_delete(tx, _policy_id(call))
    return Reply(None, 204)


def _policy_id(call: Call) -> str:
    return path_id(call, "policy_id", "policy")


def _shown(call: Call, row: Any, status: int = 200) -> Reply:
    return Reply({"policy": policy_blobs.policy_view(row, call.base + "/v3")}, status)


# --- whose policy it is


async def _association(call: Call) -> Association:
    """What the path names. Raises NotFound when a part of it is not there."""
    args = call.args
    await policy_blobs.policy_get(call.store, _policy_id(call))
    if "endpoint_id" in args:
        await endpoint_get(call.store, path_id(call, "endpoint_id", "endpoint"))
    if "service_id" in args:
        await service_get(call.store, path_id(call, "service_id", "service"))
    if "region_id" in args:
        if len(args["region_id"]) > 255 or not args["region_id"].isprintable():
            raise NotFound("Could not find region.")
        await region_get(call.store, args["region_id"])
    return Association(
        policy_id=_policy_id(call),
        endpoint_id=args.get("endpoint_id"),
        service_id=args.get("service_id"),
        region_id=args.get("region_id"),
    )


async def associate(call: Call) -> Reply:
    """`PUT /policies/{policy_id}/OS-ENDPOINT-POLICY/...`."""
    one = await _association(call)
    async with change(call) as tx:
        await associations.association_insert(tx, one)
    return Reply(None, 204)


async def check_association(call: Call) -> Reply:
    """`GET /policies/{policy_id}/OS-ENDPOINT-POLICY/...`."""
    await associations.association_check(call.store, await _association(call))
    return Reply(None, 204)


async def dissociate(call: Call) -> Reply:
    """`DELETE /policies/{policy_id}/OS-ENDPOINT-POLICY/...`."""
    one = await _association(call)
    async with change(call) as tx:
        await associations.association_delete(tx, one)
    return Reply(None, 204)


async def list_endpoints(call: Call) -> Reply:
    """`GET /policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints`."""
    policy = await policy_blobs.policy_get(call.store, _policy_id(call))
    rows = await associations.endpoints_of_policy(call.store, policy["id"])
    return whole(call, "endpoints", [endpoint_view(row, call.base + "/v3") for row in rows])


async def show_policy_of_endpoint(call: Call) -> Reply:
    """`GET /endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy`."""
    endpoint = await endpoint_get(call.store, path_id(call, "endpoint_id", "endpoint"))
    return _shown(call, await associations.policy_of_endpoint(call.store, endpoint["id"]))


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path="/v3" + path, handler=handler, policy=f"identity:{rule}", body=body)


ONE = "/policies/{policy_id}"
OF = ONE + "/OS-ENDPOINT-POLICY"
KINDS = {
    "/endpoints/{endpoint_id}": "endpoint",
    "/services/{service_id}": "service",
    "/services/{service_id}/regions/{region_id}": "region_and_service",
}


def _association_routes() -> list[Route]:
    verbs = (("PUT", associate, "create"), ("GET", check_association, "check"), ("DELETE", dissociate, "delete"))
    return [
        _route(method, OF + path, handler, f"{verb}_policy_association_for_{kind}")
        for path, kind in KINDS.items()
        for method, handler, verb in verbs
    ]


ROUTES = [
    _route("GET", "/policies", list_policies, "list_policies"),
    _route("POST", "/policies", create_policy, "create_policy", "identity/policy-create"),
    _route("GET", ONE, show_policy, "get_policy"),
    _route("PATCH", ONE, update_policy, "update_policy", "identity/policy-update"),
    _route("DELETE", ONE, delete_policy, "delete_policy"),
    _route("GET", OF + "/endpoints", list_endpoints, "list_endpoints_for_policy"),
    *_association_routes(),
    _route(
        "GET", "/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy", show_policy_of_endpoint, "get_policy_for_endpoint"
    ),
]
