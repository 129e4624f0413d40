"""The routes table of an API, and the tree in which a request's path finds its route.

A route says everything about itself: who may call it, what its body must be, in which microversions it exists. It is
refused at start-up when it does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from aiohttp import web

from skybus.errors import CloudError
from skybus.http import schemas
from skybus.http.call import Call
from skybus.http.policy import Policy
from skybus.http.versions import Version, VersionRange

PUBLIC = "public"
"""The policy of a route that needs no token."""
NO_BODY = "none"
"""The body of a route that takes none; what is sent is not read."""
RAW = "raw"
"""The body of a route that reads the request's bytes by itself."""

Handler = Callable[[Call], Awaitable[Any]]
"""Answers a Reply, or an aiohttp StreamResponse that it has prepared itself."""
ErrorBody = Callable[[CloudError, str], tuple[bytes, str]]
"""(error, request id) -> body and content type, in an API's own form."""
Witness = Callable[[Call, web.StreamResponse | None, CloudError | None], None]
"""Sees each answer that a handler gave, or the error it ended in, before it is sent. It neither waits nor fails."""


class RouteError(Exception):
    """A route does not say what it must; the message names it."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method on one path. `{name}` in the path is a variable; a last `{name:path}` takes all that is left."""

    method: str
    path: str
    handler: Handler
    policy: str
    """Name of a policy rule, or PUBLIC."""
    body: str
    """Name of a schema under schemas/api, NO_BODY or RAW."""
    since: Version = (0, 0)
    until: Version = (9999, 0)
    max_body_bytes: int | None = None
    """Instead of the gateway's limit."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """One OpenStack API: its place, its routes, its way to say no."""

    name: str
    prefix: str
    """Path under which the routes stand, without a slash at its end."""
    routes: list[Route]
    error_body: ErrorBody
    versions: VersionRange | None = None
    request_id_headers: tuple[str, ...] = ("X-Openstack-Request-Id",)
    not_found: str = "The resource could not be found."
    witness: Witness | None = None
    lists_end_plainly: bool = False
    """Whether `/things/` and `/things//action` name a thing without an id, which does not exist, and not `/things`."""


def check_routes(apis: Iterable[Api], policy: Policy) -> None:
    """Raises RouteError for a route without a known policy rule or without a schema for its body."""
    for api in apis:
        for route in api.routes:
            if route.policy != PUBLIC and route.policy not in policy:
                raise RouteError(f"{api.name}: {route} declares the policy rule {route.policy!r}, which nobody defines")
            if route.body not in (NO_BODY, RAW) and not schemas.path_of(route.body).is_file():
                raise RouteError(f"{api.name}: {route} declares the schema {route.body!r}, which does not exist")
            if route.method in ("GET", "HEAD") and route.body != NO_BODY:
                raise RouteError(f"{api.name}: {route} takes a body")


class _Node:
    __slots__ = ("api", "children", "rest", "routes", "variable")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.rest: _Node | None = None
        self.routes: dict[str, list[tuple[Route, tuple[str, ...]]]] = {}
        self.api: Api | None = None


class Match(msgspec.Struct, frozen=True):
    """Where a path leads: the API it belongs to, and the methods that exist there."""

    api: Api | None
    methods: dict[str, list[tuple[Route, tuple[str, ...]]]]
    values: tuple[str, ...]


class Router:
    """Finds routes by walking the path, one dictionary look-up a segment; a literal wins over a variable."""

    def __init__(self, apis: Iterable[Api]) -> None:
        self._root = _Node()
        for api in apis:
            self._place(api.prefix).api = api
            for route in api.routes:
                self._add(api, route)

    def _place(self, path: str) -> _Node:
        node = self._root
        for segment in _segments(path):
            if segment.startswith("{") and segment.endswith(":path}"):
                node.rest = node.rest or _Node()
                node = node.rest
            elif segment.startswith("{"):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.children.setdefault(segment, _Node())
        return node

    def _add(self, api: Api, route: Route) -> None:
        node = self._place(api.prefix + route.path)
        names = tuple(part[1:-1].removesuffix(":path") for part in _segments(route.path) if part.startswith("{"))
        for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
            node.routes.setdefault(method, []).append((route, names))

    def find(self, path: str) -> Match:
        """Where `path`, percent-decoded, leads."""
        segments = _segments(path)
        api = self._api(segments)
        found = self._walk(self._root, segments, 0, ())
        if found is None or (api is not None and api.lists_end_plainly and _lacks_id(path, found[0])):
            return Match(api, {}, ())
        return Match(api, found[0].routes, found[1])

    def _walk(
        self, node: _Node, segments: list[str], index: int, values: tuple[str, ...]
    ) -> tuple[_Node, tuple[str, ...]] | None:
        if index == len(segments):
            return (node, values) if node.routes else None
        segment = segments[index]
        child = node.children.get(segment)
        if child is not None:
            found = self._walk(child, segments, index + 1, values)
            if found is not None:
                return found
        if node.variable is not None:
            found = self._walk(node.variable, segments, index + 1, (*values, segment))
            if found is not None:
                return found
        if node.rest is not None:
            return node.rest, (*values, "/".join(segments[index:]))
        return None

    def _api(self, segments: list[str]) -> Api | None:
        node: _Node | None = self._root
        api = None
        for segment in segments:
            node = node.children.get(segment) if node else None
            if node is None:
                break
            api = node.api or api
        return api


def _lacks_id(path: str, node: _Node) -> bool:
    """Whether an id is left out of `path`, which leads to `node`. A slash behind a public document begins no id."""
    if "//" in path:
        return True
    if not path.endswith("/") or node.variable is None:
        return False
    return all(route.policy != PUBLIC for routes in node.routes.values() for route, _ in routes)


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]
