"""The way of every request: find the route, believe the token, check policy and body, call the handler, say it in the
API's own form. This is the one place that turns errors into HTTP."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from aiohttp import web

from skybus.bus.context import Context, bound
from skybus.errors import BadRequest, CloudError, Forbidden, NotFound, Unauthorized
from skybus.http import bodies, schemas
from skybus.http.call import GLOBAL_ID, Call, Reply
from skybus.http.caller import Caller
from skybus.http.policy import Policy
from skybus.http.routes import NO_BODY, PUBLIC, RAW, Api, Route, Router, check_routes
from skybus.http.versions import Version

log = structlog.get_logger()

Authenticate = Callable[[str], Awaitable[Caller]]
"""Turns a token into a caller. Raises Unauthorized."""

_encode = msgspec.json.Encoder().encode
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_GLOBAL_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class MethodNotAllowed(CloudError):
    """The path exists, and not with this method."""

    code, status, title = "request.method", 405, "Method Not Allowed"


class Dispatcher:
    """Serves all APIs. `services` is what the gateway made for the handlers, by name; `store` among them."""

    def __init__(
        self,
        apis: Sequence[Api],
        policy: Policy,
        authenticate: Authenticate,
        *,
        public_url: str,
        max_body_bytes: int,
        services: Mapping[str, Any],
    ) -> None:
        check_routes(apis, policy)
        self.router = Router(apis)
        self.policy = policy
        self.authenticate = authenticate
        self.public_url = public_url
        self.max_body_bytes = max_body_bytes
        self.services = services
        self.observe: Callable[[str, str, int, float], None] | None = None
        """Called after each request with API, route, status and seconds: metrics."""

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever happens in it."""
        began = time.perf_counter()
        request_id = f"req-{uuid4()}"
        match = self.router.find(request.path)
        api, route, response = match.api, None, None
        version: Version | None = None
        error: CloudError | None = None
        context = Context(request_id=request_id, traceparent=_traceparent(request.headers))
        try:
            if "%00" in request.path_qs or "\0" in request.path:
                raise BadRequest("The URL has a NUL character, which nothing here may have.")
            version = api.versions.asked(request.headers) if api is not None and api.versions is not None else None
            route, names = self._route(match.methods, request.method, version or (0, 0), api)
            args = dict(zip(names, match.values, strict=True))
            caller = await self._caller(request, route)
            if caller is not None:
                context = msgspec.structs.replace(context, project_id=caller.project_id or "", user_id=caller.user_id)
            with bound(context):
                response = await self._handle(api, route, request, args, version or (0, 0), caller, context)
        except CloudError as caught:
            error = caught
        except (ConnectionResetError, asyncio.CancelledError):
            raise
        except Exception as caught:
            log.exception("request_crashed", request_id=request_id, method=request.method, path=request.path)
            error = CloudError("The server has run into a problem that is ours; the request id leads to its log.")
            error.__cause__ = caught
        if error is not None:
            response = _refusal(api, error, request_id)
        if response is None:
            raise AssertionError("a handler answered nothing")
        self._finish(api, response, request_id, version)
        self._note(api, route, request, response.status, began, context, error)
        return response

    def _route(
        self, methods: Mapping[str, Any], method: str, version: Version, api: Api | None
    ) -> tuple[Route, tuple[str, ...]]:
        sorry = api.not_found if api is not None else "The resource could not be found."
        if not methods:
            raise NotFound(sorry)
        candidates = methods.get(method)
        if candidates is None:
            allowed = ", ".join(sorted(methods))
            raise MethodNotAllowed(f"The method {method} is not allowed for this resource.", allow=allowed)
        for route, names in candidates:
            if route.since <= version <= route.until:
                return route, names
        raise NotFound(sorry)

    async def _caller(self, request: web.BaseRequest, route: Route) -> Caller | None:
        token = request.headers.get("X-Auth-Token")
        if not token:
            if route.policy == PUBLIC:
                return None
            raise Unauthorized("The request you have made requires authentication.")
        try:
            caller = await self.authenticate(token)
            if caller.ruled_by is not None:
                await self.services["access_rules"].check(caller, request.method, request.path)
        except Unauthorized:
            if route.policy == PUBLIC:
                return None
            raise
        if caller.image_id is not None and route.policy != "download_image":
            raise Forbidden("This token reads the data of one image and nothing else.")
        return caller

    async def _handle(
        self,
        api: Api | None,
        route: Route,
        request: web.BaseRequest,
        args: dict[str, str],
        version: Version,
        caller: Caller | None,
        context: Context,
    ) -> web.StreamResponse:
        if api is None:
            raise AssertionError("a route belongs to an API")
        call = Call(self, api, route, request, args, version, caller, context)
        try:
            response = await self._answered(call, route)
        except CloudError as error:
            if api.witness is not None:
                api.witness(call, None, error)
            raise
        if api.witness is not None:
            api.witness(call, response, None)
        return response

    async def _answered(self, call: Call, route: Route) -> web.StreamResponse:
        if route.policy != PUBLIC and not self.policy.allows(route.policy, call.caller):
            raise Forbidden(f"Policy doesn't allow {route.policy} to be performed.")
        if route.body not in (NO_BODY, RAW):
            call.body = await call.read_json(route.max_body_bytes or self.max_body_bytes)
            schemas.check(route.body, call.body)
        answer = await route.handler(call)
        return _response(answer) if isinstance(answer, Reply) else answer

    def _finish(self, api: Api | None, response: web.StreamResponse, request_id: str, version: Version | None) -> None:
        if response.prepared:
            return
        for name in api.request_id_headers if api else ("X-Openstack-Request-Id",):
            response.headers[name] = request_id
        if api is not None and api.versions is not None:
            response.headers.update(api.versions.headers(version or api.versions.lowest))

    def _note(
        self,
        api: Api | None,
        route: Route | None,
        request: web.BaseRequest,
        status: int,
        began: float,
        context: Context,
        error: CloudError | None,
    ) -> None:
        seconds = time.perf_counter() - began
        fields: dict[str, Any] = {"error": error.code, "reason": error.reason} if error is not None else {}
        told = request.headers.get("X-Openstack-Request-Id", "")
        if GLOBAL_ID.fullmatch(told):
            fields["global_request_id"] = told
        log.info(
            "request",
            method=request.method,
            path=request.path,
            status=status,
            ms=round(seconds * 1000, 1),
            request_id=context.request_id,
            project_id=context.project_id,
            user_id=context.user_id,
            **fields,
        )
        if self.observe is not None:
            self.observe(api.name if api else "", str(route) if route else "", status, seconds)


def _traceparent(headers: Mapping[str, str]) -> str:
    told = headers.get("traceparent", "")
    return told if _TRACEPARENT.fullmatch(told) else ""


def _response(reply: Reply) -> web.Response:
    if reply.body is None:
        return web.Response(status=reply.status, headers=reply.headers)
    data = reply.body if isinstance(reply.body, bytes) else _encode(reply.body)
    return web.Response(body=data, status=reply.status, headers=reply.headers, content_type=reply.content_type)


def _refusal(api: Api | None, error: CloudError, request_id: str) -> web.Response:
    body, content_type = (api.error_body if api else bodies.placement)(error, request_id)
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Keystone uri="/identity"'
    if error.status == 503:
        headers["Retry-After"] = "1"
    if "allow" in error.details:
        headers["Allow"] = error.details["allow"]
    return web.Response(body=body, status=error.status, headers=headers, content_type=content_type)
