"""An OAuth 1.0a consumer, as its own program would be: it signs with oauthlib's client."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from identity_cloud import Cloud
from oauthlib.oauth1 import Client

from support.front import Answer

AUTH = "/auth/tokens"
OAUTH = "/OS-OAUTH1"


class Consumer:
    """A consumer, and the user that authorizes it: an administrator of a project of its own."""

    def __init__(self, cloud: Cloud, consumer: Any, user: Any, project: Any, token: str) -> None:
        self.cloud, self.consumer = cloud, consumer
        self.user, self.project, self.token = user, project, token
        self.own_path = f"/users/{user['id']}/OS-OAUTH1/access_tokens"

    @classmethod
    async def made(cls, cloud: Cloud) -> Consumer:
        answer = await cloud.call("POST", f"{OAUTH}/consumers", {"consumer": {"description": "a program"}})
        assert answer.status == 201, answer
        return cls(cloud, answer.body["consumer"], *(await cloud.member("admin")))

    def headers(self, path: str, token: dict[str, str] | None = None, verifier: str | None = None) -> dict[str, str]:
        """The header that signs a POST to `path`."""
        client = Client(
            self.consumer["id"],
            client_secret=self.consumer["secret"],
            resource_owner_key=token["oauth_token"] if token else None,
            resource_owner_secret=token["oauth_token_secret"] if token else None,
            verifier=verifier,
        )
        _, headers, _ = client.sign(f"{self.cloud.client.url}/identity/v3{path}", http_method="POST")
        return dict(headers)

    async def post(self, path: str, headers: dict[str, str], body: Any = None) -> Answer:
        return await self.cloud.client.call("POST", "/identity/v3" + path, body, token=None, headers=headers)

    async def ask(self, project_id: str | None = None) -> Answer:
        """Ask for a request token."""
        path = f"{OAUTH}/request_token"
        headers = {**self.headers(path), "Requested-Project-Id": project_id or self.project["id"]}
        return await self.post(path, headers)

    async def authorize(self, request: dict[str, str], *roles: str, token: str | None = None) -> Answer:
        """The user says yes."""
        body = {"roles": [{"name": role} for role in roles]}
        path = f"{OAUTH}/authorize/{request['oauth_token']}"
        return await self.cloud.call("PUT", path, body, token or self.token)

    async def fetch(self, request: dict[str, str], verifier: str) -> Answer:
        """Fetch the access token."""
        path = f"{OAUTH}/access_token"
        return await self.post(path, self.headers(path, request, verifier))

    async def access(self, *roles: str) -> dict[str, str]:
        """An access token, by all the steps."""
        request = form(await self.ask())
        answer = await self.authorize(request, *(roles or ("member",)))
        assert answer.status == 200, answer
        return form(await self.fetch(request, answer.body["token"]["oauth_verifier"]))

    async def login(self, access: dict[str, str], headers: dict[str, str] | None = None, scope: Any = None) -> Answer:
        """Authenticate with an access token."""
        body: dict[str, Any] = {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}}}
        if scope is not None:
            body["auth"]["scope"] = scope
        return await self.post(AUTH, headers or self.headers(AUTH, access), body)

    async def own_token(self, access: dict[str, str]) -> str:
        answer = await self.login(access)
        assert answer.status == 201, answer
        return answer.headers["X-Subject-Token"]


def form(answer: Answer) -> dict[str, str]:
    """What an answer in a form says."""
    assert answer.status == 201, answer
    assert answer.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    return {name: values[0] for name, values in parse_qs(answer.data.decode()).items()}
