"""Both forms of every path: with the project's id in it, as clients have always sent it, and without, as since 3.67."""

from __future__ import annotations

from typing import Any

import msgspec

from skybus.errors import BadRequest
from skybus.http.call import Call
from skybus.http.routes import Handler, Route


def both(*routes: Route) -> list[Route]:
    """Each route twice: `/volumes` becomes `/v3/volumes` and `/v3/{project_id}/volumes`."""
    doubled = []
    for route in routes:
        doubled.append(msgspec.structs.replace(route, path="/v3" + route.path))
        path, handler = "/v3/{project_id}" + route.path, _in_project(route.handler)
        doubled.append(msgspec.structs.replace(route, path=path, handler=handler))
    return doubled


def _in_project(handler: Handler) -> Handler:
    async def checked(call: Call) -> Any:
        if call.args["project_id"] != call.caller.project_id:
            raise BadRequest("Malformed request url: the project in it is not the token's.")
        return await handler(call)

    return checked


def collection(call: Call, name: str) -> str:
    """URL of a collection in the form in which the call came."""
    project_id = call.args.get("project_id")
    return f"{call.base}/v3/{project_id}/{name}" if project_id else f"{call.base}/v3/{name}"


def is_admin(call: Call) -> bool:
    """Whether the caller may act in every project."""
    return "admin" in call.caller.roles


def owner_of(call: Call) -> str | None:
    """The project whose things the caller may name by id; None is any project, for an admin."""
    return None if is_admin(call) else call.project_id


def boolean(value: object, name: str) -> bool:
    """A truth value however it is spelled. Raises BadRequest that names the parameter."""
    text = str(value).strip().lower()
    if text in ("1", "t", "true", "on", "y", "yes"):
        return True
    if text in ("0", "f", "false", "off", "n", "no"):
        return False
    raise BadRequest(f"Invalid value {text[:32]!r} for {name}: it is neither true nor false.")
