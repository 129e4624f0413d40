"""Routes that say what this image service is: versions, schema documents, stores, import methods."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from skybus.errors import NotFound
from skybus.http import schemas
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, PUBLIC, Route
from skybus.image.images_api import images_of

VERSIONS = ("v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")
"""Newest first; the newest is the current one. 2.8 is for sites with several stores."""
DOCUMENTS = ("image", "images", "member", "members", "task", "tasks")


def _versions(call: Call) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{call.base}/v2/"}]
    return {
        "versions": [
            {"id": version, "status": "SUPPORTED" if index else "CURRENT", "links": links}
            for index, version in enumerate(VERSIONS)
        ]
    }


async def choose_version(call: Call) -> Reply:
    """GET /: the versions, as a choice."""
    return Reply(_versions(call), 300)


async def list_versions(call: Call) -> Reply:
    """GET /versions."""
    return Reply(_versions(call))


@cache
def _document(name: str) -> bytes:
    return schemas.path_of(f"image/shown/{name}").read_bytes()


async def show_schema(call: Call) -> Reply:
    """GET /v2/schemas/{name}: what the objects of the API look like."""
    name = call.args["name"]
    if name not in DOCUMENTS:
        raise NotFound("The resource could not be found.")
    return Reply(msgspec.Raw(_document(name)))


async def list_stores(call: Call) -> Reply:
    """GET /v2/info/stores."""
    images = images_of(call)
    return Reply({"stores": [{"id": images.store_id, "description": images.description, "default": "true"}]})


async def list_stores_in_detail(call: Call) -> Reply:
    """GET /v2/info/stores/detail."""
    images = images_of(call)
    store = {
        "id": images.store_id,
        "type": "file",
        "description": images.description,
        "default": "true",
        "weight": 0,
        "properties": {},
    }
    return Reply({"stores": [store]})


async def list_import_methods(call: Call) -> Reply:
    """GET /v2/info/import: data comes by upload alone."""
    methods = {"description": "Import methods available.", "type": "array", "value": []}
    return Reply({"import-methods": methods})


ROUTES: list[Route] = [
    Route(method="GET", path="", handler=choose_version, policy=PUBLIC, body=NO_BODY),
    Route(method="GET", path="/versions", handler=list_versions, policy=PUBLIC, body=NO_BODY),
    Route(method="GET", path="/v2", handler=choose_version, policy=PUBLIC, body=NO_BODY),
    Route(method="GET", path="/v2/schemas/{name}", handler=show_schema, policy="get_images", body=NO_BODY),
    Route(method="GET", path="/v2/info/stores", handler=list_stores, policy="get_images", body=NO_BODY),
    Route(
        method="GET",
        path="/v2/info/stores/detail",
        handler=list_stores_in_detail,
        policy="stores_info_detail",
        body=NO_BODY,
    ),
    Route(method="GET", path="/v2/info/import", handler=list_import_methods, policy="get_images", body=NO_BODY),
]
