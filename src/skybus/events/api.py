"""The Events API, version 1."""

from __future__ import annotations

from skybus.events import operations_api, stream_api
from skybus.http import bodies
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, PUBLIC, Api, Route

PREFIX = "/events"


async def versions(call: Call) -> Reply:
    """The versions document."""
    return Reply(
        {
            "versions": [
                {"id": "v1.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"{call.public_url}/events/v1"}]}
            ]
        }
    )


def apis() -> list[Api]:
    """The versions document, and version 1."""
    root = Route(method="GET", path="", handler=versions, policy=PUBLIC, body=NO_BODY)
    return [
        Api(name="events", prefix=PREFIX, routes=[root], error_body=bodies.placement),
        Api(
            name="events",
            prefix=f"{PREFIX}/v1",
            routes=[*stream_api.ROUTES, *operations_api.ROUTES],
            error_body=bodies.placement,
        ),
    ]
