"""A real OpenID provider for tests: Canaille in a process of its own, on a loopback port, its people in memory.

Passwords make signed access tokens (with the groups of whoever they are), client credentials make opaque ones.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CLIENT_ID, CLIENT_SECRET = "skybus", "a secret of this test alone"
PASSWORD = "not known to the cloud"
SCOPE = "openid profile email groups"
PEOPLE: Mapping[str, Sequence[str]] = {"alice": ("engineers", "everybody"), "bob": ("everybody",)}
"""Who is in which groups."""
START_SECONDS = 60.0


class OpenId:
    """A running provider."""

    def __init__(self, port: int, http: aiohttp.ClientSession) -> None:
        self.port, self.http = port, http
        self.issuer = f"http://127.0.0.1:{port}"

    async def grant(self, client_id: str = CLIENT_ID, **form: str) -> str:
        """An access token by an OAuth 2.0 grant."""
        headers = {"Authorization": aiohttp.encode_basic_auth(client_id, CLIENT_SECRET)}
        async with self.http.post(self.issuer + "/oauth/token", data=form, headers=headers) as answer:
            body = await answer.json()
            assert answer.status == 200, body
            return str(body["access_token"])

    async def by_password(self, name: str, **more: str) -> str:
        """The signed token of a person."""
        return await self.grant(grant_type="password", username=name, password=PASSWORD, scope=SCOPE, **more)

    async def by_client(self) -> str:
        """The opaque token of a client that speaks for itself."""
        return await self.grant(grant_type="client_credentials", scope="openid")


@asynccontextmanager
async def openid_provider(folder: Path, port: int, *, keys: Sequence[Mapping[str, str]] = ()) -> AsyncIterator[OpenId]:
    """A provider on `port`, which signs with the first of `keys`, or with one of its own choice."""
    told = folder / f"openid-{port}.json"
    told.write_text(json.dumps({"port": port, "keys": list(keys)}))
    output = (folder / f"openid-{port}.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, __file__, str(told)], stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=dict(os.environ)
    )
    try:
        async with aiohttp.ClientSession() as http:
            provider = OpenId(port, http)
            await _answers(provider, process, folder)
            yield provider
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait, 10)
        output.close()


async def _answers(provider: OpenId, process: subprocess.Popen[bytes], folder: Path) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with provider.http.get(provider.issuer + "/.well-known/openid-configuration") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            assert process.poll() is None, (folder / f"openid-{provider.port}.log").read_text()[-2000:]
            await asyncio.sleep(0.1)


# --- in the provider's own process


def serve(told: Mapping[str, Any]) -> None:
    """Be the provider until a signal comes."""
    from canaille import create_app
    from werkzeug.serving import make_server

    address = f"127.0.0.1:{told['port']}"
    settings: dict[str, Any] = {
        "SECRET_KEY": "nobody logs in by a browser here",
        "SERVER_NAME": address,
        "PREFERRED_URL_SCHEME": "http",
        "CANAILLE": {"DATABASE": "memory"},
        "CANAILLE_OIDC": {"REQUIRE_NONCE": False},
    }
    if told["keys"]:
        settings["CANAILLE_OIDC"]["ACTIVE_JWKS"] = told["keys"]
    app = create_app(settings)
    with app.app_context():
        _people()
        _clients()
    make_server("127.0.0.1", told["port"], app, threaded=True).serve_forever()


def _people() -> None:
    from canaille.app import models
    from canaille.backends import Backend

    members: dict[str, list[Any]] = {}
    for name, groups in PEOPLE.items():
        user = models.User(
            user_name=name,
            formatted_name=name.title(),
            family_name=name.title(),
            display_name=name,
            emails=[f"{name}@people.example"],
            password=PASSWORD,
        )
        Backend.instance.save(user)
        for group in groups:
            members.setdefault(group, []).append(user)
    for group, users in members.items():
        Backend.instance.save(models.Group(display_name=group, members=users))


def _clients() -> None:
    from canaille.app import models
    from canaille.backends import Backend

    # Tokens of `elsewhere` are good, and meant for somebody else.
    for client_id in (CLIENT_ID, "elsewhere"):
        client = models.Client(
            client_id=client_id,
            client_secret=CLIENT_SECRET,
            client_name=client_id,
            grant_types=["password", "client_credentials", "refresh_token"],
            response_types=["code"],
            scope=SCOPE.split(),
            token_endpoint_auth_method="client_secret_basic",
        )
        Backend.instance.save(client)
        client.audience = [client]
        Backend.instance.save(client)


if __name__ == "__main__":
    serve(json.loads(Path(sys.argv[1]).read_text()))
