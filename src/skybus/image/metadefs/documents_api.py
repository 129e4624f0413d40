"""The documents that say what metadata definitions look like."""

from __future__ import annotations

from functools import cache

import msgspec

from skybus.errors import NotFound
from skybus.http import schemas
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route

DOCUMENTS = (
    "namespace",
    "namespaces",
    "object",
    "objects",
    "property",
    "properties",
    "tag",
    "tags",
    "resource_type",
    "resource_types",
)


@cache
def _document(name: str) -> bytes:
    return schemas.path_of(f"image/shown/metadef-{name.replace('_', '-')}").read_bytes()


async def show_document(call: Call) -> Reply:
    """GET /v2/schemas/metadefs/{document}."""
    name = call.args["document"]
    if name not in DOCUMENTS:
        raise NotFound("The resource could not be found.")
    return Reply(msgspec.Raw(_document(name)))


ROUTES: list[Route] = [
    Route(
        method="GET",
        path="/v2/schemas/metadefs/{document}",
        handler=show_document,
        policy="get_metadef_namespaces",
        body=NO_BODY,
    ),
]
