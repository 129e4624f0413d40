"""Error bodies in each API's own form: client libraries parse them."""

from __future__ import annotations

from typing import Any

import msgspec

from skybus.errors import CloudError

JSON = "application/json"

_COMPUTE_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "computeFault",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def _encode(body: Any) -> tuple[bytes, str]:
    return msgspec.json.encode(body), JSON


def compute(error: CloudError, request_id: str) -> tuple[bytes, str]:
    """Nova and Cinder: the fault's name is the key."""
    name = _COMPUTE_NAMES.get(error.status, "computeFault")
    return _encode({name: {"code": error.status, "message": error.reason}})


def identity(error: CloudError, request_id: str) -> tuple[bytes, str]:
    """Keystone."""
    return _encode({"error": {"code": error.status, "title": error.title, "message": error.reason}})


def network(error: CloudError, request_id: str) -> tuple[bytes, str]:
    """Neutron; `details["type"]` names its exception class where clients look at it."""
    kind = error.details.get("type") or type(error).__name__
    return _encode({"NeutronError": {"type": kind, "message": error.reason, "detail": ""}})


def image(error: CloudError, request_id: str) -> tuple[bytes, str]:
    """Glance: a short page of HTML, with the sentence escaped."""
    text = error.reason.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    title = f"{error.status} {error.title}"
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1>{text}<br /><br /></body></html>"
    return page.encode(), "text/html"


def placement(error: CloudError, request_id: str) -> tuple[bytes, str]:
    """Placement, and whatever follows the API-SIG guideline on errors, as our own APIs do."""
    one = {
        "status": error.status,
        "title": error.title,
        "detail": error.reason,
        "code": error.code,
        "request_id": request_id,
    }
    return _encode({"errors": [one]})
