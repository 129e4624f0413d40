"""All routes of metadata definitions."""

from __future__ import annotations

from skybus.http.routes import Route
from skybus.image.metadefs import (
    documents_api,
    namespaces_api,
    objects_api,
    properties_api,
    resource_types_api,
    tags_api,
)

ROUTES: list[Route] = [
    *documents_api.ROUTES,
    *namespaces_api.ROUTES,
    *objects_api.ROUTES,
    *properties_api.ROUTES,
    *tags_api.ROUTES,
    *resource_types_api.ROUTES,
]
