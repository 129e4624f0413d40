"""The volume API: where it stands and what it consists of."""

from __future__ import annotations

from skybus.http import bodies
from skybus.http.routes import Api
from skybus.volume import (
    attachments_api,
    quotas_api,
    services_api,
    site_api,
    types_api,
    volume_actions_api,
    volume_metadata_api,
    volumes_api,
)


def api() -> Api:
    """Block storage v3 under /volume/v3, and the versions document under /volume."""
    return Api(
        name="volume",
        prefix="/volume",
        routes=[
            *site_api.ROUTES,
            *volumes_api.ROUTES,
            *volume_metadata_api.ROUTES,
            *volume_actions_api.ROUTES,
            *attachments_api.ROUTES,
            *types_api.ROUTES,
            *quotas_api.ROUTES,
            *services_api.ROUTES,
        ],
        lists_end_plainly=True,
        error_body=bodies.compute,
        versions=site_api.VERSIONS,
        request_id_headers=("X-Openstack-Request-Id", "X-Compute-Request-Id"),
    )
