"""What this API is: its versions, and by JSON-home its resources: routes."""

from __future__ import annotations

from typing import Any

import msgspec

from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, PUBLIC, Route
from skybus.identity.json_home import MEDIA_TYPE, json_home

UPDATED = "2020-04-07T00:00:00Z"
JSON = "application/json"


def _version(call: Call) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": UPDATED,
        "links": [{"rel": "self", "href": f"{call.base}/v3/"}],
        "media-types": [{"base": JSON, "type": "application/vnd.openstack.identity-v3+json"}],
    }


async def list_versions(call: Call) -> Reply:
    """`GET /identity`: which versions there are, with the status 300 as Keystone has it."""
    if _wants_home(call.headers.get("Accept", "")):
        return _home(call, "/v3")
    headers = {"Vary": "X-Auth-Token", "Location": f"{call.base}/v3/"}
    return Reply({"versions": {"values": [_version(call)]}}, 300, headers)


async def show_version(call: Call) -> Reply:
    """`GET /identity/v3`."""
    if _wants_home(call.headers.get("Accept", "")):
        return _home(call, "")
    return Reply({"version": _version(call)}, 200, {"Vary": "X-Auth-Token"})


def _home(call: Call, start: str) -> Reply:
    data = msgspec.json.encode(json_home(call.api.routes, start))
    return Reply(data, 200, {"Vary": "X-Auth-Token"}, content_type=MEDIA_TYPE)


def _wants_home(accept: str) -> bool:
    """Whether the header names JSON-home, and likes nothing else that we have better."""
    liked = dict(_liking(part) for part in accept[:1024].split(","))
    plain = max(liked.get(kind, 0.0) for kind in (JSON, "application/*", "*/*"))
    return liked.get(MEDIA_TYPE, 0.0) > plain


def _liking(part: str) -> tuple[str, float]:
    """A media type of the header and its weight from 0 to 1, which is 1 unless it says another number."""
    kind, *parameters = (word.strip().lower() for word in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return kind, float(value)
            except ValueError:
                return kind, 0.0
    return kind, 1.0


ROUTES = [
    Route(method="GET", path="", handler=list_versions, policy=PUBLIC, body=NO_BODY),
    Route(method="GET", path="/v3", handler=show_version, policy=PUBLIC, body=NO_BODY),
]
