"""The image API: where it stands and what it consists of."""

from __future__ import annotations

from skybus.http import bodies
from skybus.http.routes import Api
from skybus.image import data_api, images_api, members_api, site_api, tags_api
from skybus.image.metadefs.routes import ROUTES as METADEF_ROUTES


def api() -> Api:
    """Images v2 under /image. Handlers ask `call.service("images")` for the ImageStore."""
    return Api(
        name="image",
        prefix="/image",
        routes=[
            *site_api.ROUTES,
            *images_api.ROUTES,
            *data_api.ROUTES,
            *members_api.ROUTES,
            *tags_api.ROUTES,
            *METADEF_ROUTES,
        ],
        lists_end_plainly=True,
        error_body=bodies.image,
    )
