"""One API call as a handler sees it, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from multidict import MultiMapping

from skybus.bus.context import Context
from skybus.errors import BadRequest, Forbidden, TooLarge, Unauthorized, UnsupportedMedia
from skybus.http.caller import Caller
from skybus.http.versions import Version

if TYPE_CHECKING:
    from skybus.http.dispatch import Dispatcher
    from skybus.http.routes import Api, Route

GLOBAL_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_decoder = msgspec.json.Decoder()


class Reply:
    """An answer: `body` becomes JSON unless it is None or bytes."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        body: Any = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> None:
        self.body = body
        self.status = status
        self.headers = headers or {}
        self.content_type = content_type


class Call:
    """One call: who, what, in which version, with which body. `args` are the variables of the path."""

    __slots__ = ("_caller", "api", "args", "body", "context", "dispatcher", "request", "route", "version")

    def __init__(
        self,
        dispatcher: Dispatcher,
        api: Api,
        route: Route,
        request: web.BaseRequest,
        args: dict[str, str],
        version: Version,
        caller: Caller | None,
        context: Context,
    ) -> None:
        self.dispatcher = dispatcher
        self.api = api
        self.route = route
        self.request = request
        self.args = args
        self.version = version
        self._caller = caller
        self.context = context
        self.body: Any = None

    @property
    def caller(self) -> Caller:
        """The authenticated caller. Raises Unauthorized on a public route that was called without a token."""
        if self._caller is None:
            raise Unauthorized("The request you have made requires authentication.")
        return self._caller

    @property
    def anonymous(self) -> bool:
        """Whether there is no caller, which a public route alone allows."""
        return self._caller is None

    @property
    def project_id(self) -> str:
        """The project that the caller acts in. Raises Forbidden when its token is not scoped to one."""
        project_id = self.caller.project_id
        if project_id is None:
            raise Forbidden("This call needs a project-scoped token.")
        return project_id

    @property
    def query(self) -> MultiMapping[str]:
        """The query string's parameters."""
        return self.request.query

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers; names are case-insensitive."""
        return self.request.headers

    @property
    def global_request_id(self) -> str | None:
        """The id by which others, too, know what this call is part of, if the client said a proper one."""
        told = self.headers.get("X-Openstack-Request-Id", "")
        return told if GLOBAL_ID.fullmatch(told) else None

    @property
    def base(self) -> str:
        """URL of this API as clients reach it, without a slash at its end."""
        return self.dispatcher.public_url + self.api.prefix

    @property
    def public_url(self) -> str:
        """URL of the gateway as clients reach it, without a slash at its end."""
        return self.dispatcher.public_url

    def service(self, name: str) -> Any:
        """Something that the gateway made for the handlers, by name: `store`, `tokens`, `images`."""
        return self.dispatcher.services[name]

    @property
    def store(self) -> Any:
        """The store, for reads outside a transaction."""
        return self.dispatcher.services["store"]

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """A transaction of the store; its messages carry this call's context."""
        transaction: AbstractAsyncContextManager[Any] = self.store.transaction()
        return transaction

    def permits(self, rule: str, **target: Any) -> bool:
        """Whether the caller may do `rule` to something with the attributes `target`."""
        return self.dispatcher.policy.allows(rule, self.caller, target or None)

    def require(self, rule: str, **target: Any) -> None:
        """Raises Forbidden unless the caller may do `rule` to `target`."""
        if not self.permits(rule, **target):
            raise Forbidden(f"Policy doesn't allow {rule} to be performed.")

    async def read_json(self, limit: int) -> Any:
        """The body as JSON. Raises UnsupportedMedia, TooLarge or BadRequest."""
        kind = self.request.content_type
        if kind not in ("application/json", "application/octet-stream") and "json" not in kind:
            raise UnsupportedMedia(f"The media type {kind} is not supported, use application/json.")
        data = await self.read(limit)
        if not data:
            raise BadRequest("The request body is empty, and this call needs one.")
        if b"\\u0000" in data:
            raise BadRequest("The request body has a NUL character, which nothing here may have.")
        try:
            return _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"Malformed request body: {error}.") from None

    async def read(self, limit: int) -> bytes:
        """The body as bytes, at most `limit` of them. Raises TooLarge."""
        length = self.request.content_length
        if length is not None and length > limit:
            raise TooLarge(f"The request body has {length} bytes; at most {limit} are accepted.")
        if not self.request.can_read_body:
            return b""
        chunks = bytearray()
        async for chunk in self.request.content.iter_any():
            chunks += chunk
            if len(chunks) > limit:
                raise TooLarge(f"The request body has more than {limit} bytes.")
        return bytes(chunks)
