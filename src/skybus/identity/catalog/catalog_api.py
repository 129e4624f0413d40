"""Regions, services and endpoints: routes."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest, NotFound
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.catalog import endpoints, regions, services
from skybus.identity.rows import body_of, change, flag_filter, listing, path_id, text_filter


async def list_regions(call: Call) -> Reply:
    """`GET /regions`."""
    where = Where()
    text_filter(call, where, "parent_region_id", "r.parent_region_id")
    return await listing(call, "regions", regions.LIST, where, regions.region_view, "r.id")


def _region_id(call: Call) -> str:
    region_id = call.args["region_id"]
    if len(region_id) > 255 or not region_id.isprintable():
        raise NotFound("Could not find region.")
    return region_id


async def create_region(call: Call) -> Reply:
    """`POST /regions`, and `PUT /regions/{region_id}` with the id in the path."""
    asked = body_of(call, "region")
    if "region_id" in call.args:
        if asked.get("id") not in (None, _region_id(call)):
            raise BadRequest("The region's id in the body is not the one in the URL.")
        asked = {**asked, "id": _region_id(call)}
    async with change(call) as tx:
        row = await regions.region_insert(tx, asked)
    return Reply({"region": regions.region_view(row, call.base + "/v3")}, 201)


async def show_region(call: Call) -> Reply:
    """`GET /regions/{region_id}`."""
    row = await regions.region_get(call.store, _region_id(call))
    return Reply({"region": regions.region_view(row, call.base + "/v3")})


async def update_region(call: Call) -> Reply:
    """`PATCH /regions/{region_id}`."""
    asked = body_of(call, "region")
    if asked.get("id") not in (None, _region_id(call)):
        raise BadRequest("The id of a region cannot be changed.")
    async with change(call) as tx:
        row = await regions.region_update(tx, _region_id(call), asked)
    return Reply({"region": regions.region_view(row, call.base + "/v3")})


async def delete_region(call: Call) -> Reply:
    """`DELETE /regions/{region_id}`."""
    async with change(call) as tx:
        await regions.region_delete(tx, _region_id(call))
    return Reply(None, 204)


async def list_services(call: Call) -> Reply:
    """`GET /services`."""
    where = Where()
    text_filter(call, where, "name", "(s.extra ->> 'name')")
    text_filter(call, where, "type", "s.type")
    return await listing(call, "services", services.LIST, where, services.service_view, "s.id")


async def create_service(call: Call) -> Reply:
    """`POST /services`."""
    async with change(call) as tx:
        row = await services.service_insert(tx, body_of(call, "service"))
    return Reply({"service": services.service_view(row, call.base + "/v3")}, 201)


async def show_service(call: Call) -> Reply:
    """`GET /services/{service_id}`."""
    row = await services.service_get(call.store, path_id(call, "service_id", "service"))
    return Reply({"service": services.service_view(row, call.base + "/v3")})


async def update_service(call: Call) -> Reply:
    """`PATCH /services/{service_id}`."""
    async with change(call) as tx:
        row = await services.service_update(tx, path_id(call, "service_id", "service"), body_of(call, "service"))
    return Reply({"service": services.service_view(row, call.base + "/v3")})


async def delete_service(call: Call) -> Reply:
    """`DELETE /services/{service_id}`."""
    async with change(call) as tx:
        await services.service_delete(tx, path_id(call, "service_id", "service"))
    return Reply(None, 204)


async def list_endpoints(call: Call) -> Reply:
    """`GET /endpoints`."""
    where = Where()
    if call.query.get("interface", "public") not in endpoints.INTERFACES:
        raise BadRequest(f"The interface of an endpoint is one of {', '.join(endpoints.INTERFACES)}.")
    for name in ("service_id", "interface", "region_id"):
        text_filter(call, where, name, f"e.{name}")
    text_filter(call, where, "region", "e.region_id")
    flag_filter(call, where, "enabled", "e.enabled")
    return await listing(call, "endpoints", endpoints.LIST, where, endpoints.endpoint_view, "e.id")


def _wanted_endpoint(call: Call) -> dict[str, Any]:
    """The body's endpoint. Raises BadRequest when it names a service or region that is not there."""
    asked = body_of(call, "endpoint")
    url = asked.get("url")
    if url is not None and endpoints.unknown_variables(url):
        raise BadRequest(f"The URL of an endpoint has unknown variables: {endpoints.unknown_variables(url)}.")
    return asked


async def create_endpoint(call: Call) -> Reply:
    """`POST /endpoints`."""
    asked = _wanted_endpoint(call)
    async with change(call) as tx:
        try:
            row = await endpoints.endpoint_insert(tx, asked)
        except NotFound as error:
            raise BadRequest(error.reason) from None
    return Reply({"endpoint": endpoints.endpoint_view(row, call.base + "/v3")}, 201)


async def show_endpoint(call: Call) -> Reply:
    """`GET /endpoints/{endpoint_id}`."""
    row = await endpoints.endpoint_get(call.store, path_id(call, "endpoint_id", "endpoint"))
    return Reply({"endpoint": endpoints.endpoint_view(row, call.base + "/v3")})


async def update_endpoint(call: Call) -> Reply:
    """`PATCH /endpoints/{endpoint_id}`."""
    asked = _wanted_endpoint(call)
    old = await endpoints.endpoint_get(call.store, path_id(call, "endpoint_id", "endpoint"))
    async with change(call) as tx:
        try:
            row = await endpoints.endpoint_update(tx, old["id"], asked)
        except NotFound as error:
            raise BadRequest(error.reason) from None
    return Reply({"endpoint": endpoints.endpoint_view(row, call.base + "/v3")})


async def delete_endpoint(call: Call) -> Reply:
    """`DELETE /endpoints/{endpoint_id}`."""
    async with change(call) as tx:
        await endpoints.endpoint_delete(tx, path_id(call, "endpoint_id", "endpoint"))
    return Reply(None, 204)


def _noun(noun: str, create: Any, listed: Any, show: Any, update: Any, delete: Any) -> list[Route]:
    one = f"/v3/{noun}s/{{{noun}_id}}"
    many = f"/v3/{noun}s"
    rows = (
        ("POST", many, create, f"create_{noun}", f"identity/{noun}-create"),
        ("GET", many, listed, f"list_{noun}s", NO_BODY),
        ("GET", one, show, f"get_{noun}", NO_BODY),
        ("PATCH", one, update, f"update_{noun}", f"identity/{noun}-update"),
        ("DELETE", one, delete, f"delete_{noun}", NO_BODY),
    )
    return [
        Route(method=method, path=path, handler=handler, policy=f"identity:{rule}", body=body)
        for method, path, handler, rule, body in rows
    ]


ROUTES = [
    *_noun("region", create_region, list_regions, show_region, update_region, delete_region),
    *_noun("service", create_service, list_services, show_service, update_service, delete_service),
    *_noun("endpoint", create_endpoint, list_endpoints, show_endpoint, update_endpoint, delete_endpoint),
    Route(
        method="PUT",
        path="/v3/regions/{region_id}",
        handler=create_region,
        policy="identity:create_region",
        body="identity/region-create",
    ),
]
