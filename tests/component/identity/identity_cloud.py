"""What the identity tests speak to: one gateway's identity, with quick ways to users, projects and tokens."""

from __future__ import annotations

from typing import Any

from skybus.identity import Identity
from skybus.ids import new_hex_id
from support.front import Answer, Client

PASSWORD = "correct horse battery staple"
ROUNDS = 4


class Cloud:
    """One gateway's identity in front of one database."""

    def __init__(
        self, client: Client, identity: Identity, admin_id: str, project_id: str, roles: dict[str, str]
    ) -> None:
        self.client, self.identity = client, identity
        self.admin_id, self.project_id, self.roles = admin_id, project_id, roles
        self.admin_token = ""

    async def auth(self, identity: dict[str, Any], scope: Any = None, query: str = "") -> Answer:
        """`POST /auth/tokens`."""
        body: dict[str, Any] = {"auth": {"identity": identity}}
        if scope is not None:
            body["auth"]["scope"] = scope
        return await self.client.call("POST", "/identity/v3/auth/tokens" + query, body, token=None)

    async def password(self, user_id: str, password: str = PASSWORD, scope: Any = None, query: str = "") -> Answer:
        """Authenticate by password."""
        user = {"id": user_id, "password": password}
        return await self.auth({"methods": ["password"], "password": {"user": user}}, scope, query)

    async def again(self, token: str, scope: Any = None) -> Answer:
        """Authenticate by token."""
        return await self.auth({"methods": ["token"], "token": {"id": token}}, scope)

    async def token(self, user_id: str, project_id: str | None = None, scope: Any = None) -> str:
        """A token by password."""
        wanted = {"project": {"id": project_id}} if project_id else scope
        answer = await self.password(user_id, scope=wanted)
        assert answer.status == 201, answer
        return answer.headers["X-Subject-Token"]

    async def call(self, method: str, path: str, body: Any = None, token: str | None = None, **more: Any) -> Answer:
        """A call as the administrator, or with `token`."""
        return await self.client.call(method, "/identity/v3" + path, body, token=token or self.admin_token, **more)

    async def made(self, noun: str, **attributes: Any) -> Any:
        """A new project, user, role, ... with a name of its own."""
        attributes.setdefault("name", f"{noun}-{new_hex_id()[-8:]}")
        answer = await self.call("POST", f"/{noun}s", {noun: attributes})
        assert answer.status == 201, answer
        return answer.body[noun]

    async def member(self, role: str = "member") -> tuple[Any, Any, str]:
        """A user with a role on a project of its own, and a token for it."""
        project = await self.made("project")
        user = await self.made("user", password=PASSWORD)
        path = f"/projects/{project['id']}/users/{user['id']}/roles/{self.roles[role]}"
        assert (await self.call("PUT", path)).status == 204
        return user, project, await self.token(user["id"], project["id"])

    async def works(self, token: str) -> bool:
        """Whether a call with `token` is let in."""
        answer = await self.client.call("GET", "/identity/v3/auth/projects", token=token)
        assert answer.status in (200, 401), answer
        return answer.status == 200
