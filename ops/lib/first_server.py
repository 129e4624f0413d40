"""Put a guest image, a first network, a key pair and a first server into a new cloud, through its public API."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import clouds
from .state import State, write_private
from .trouble import Trouble

IMAGE, NETWORK, SUBNET, KEY, SERVER, FLAVOR = "skybus-guest", "private", "private-v4", "first", "first", "m1.tiny"
CIDR = "10.20.0.0/24"
PROMPT = "login:"
Json = dict[str, Any]


class Api:
    """The cloud's own API as its admin, by plain HTTP. Every call has a deadline and raises Trouble when refused."""

    def __init__(self, state: State, port: int) -> None:
        self.port = port
        self.token = ""
        self.catalog: dict[str, str] = {}
        self.log_in(state.secret(clouds.ADMIN_SECRET))

    def log_in(self, password: str) -> None:
        """Get a token, and from the catalog where each service is."""
        user = {"name": "admin", "domain": {"id": "default"}, "password": password}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        asked = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        body, headers = self.send("POST", clouds.auth_url(self.port) + "/auth/tokens", asked)
        self.token = headers["X-Subject-Token"]
        for service in body["token"]["catalog"]:
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == "public":
                    self.catalog[service["type"]] = endpoint["url"].rstrip("/")

    def call(self, service: str, method: str, path: str, body: Json | None = None) -> Json:
        """One call of a service in the catalog; the answer's JSON."""
        found: Json = self.send(method, self.catalog[service] + path, body)[0]
        return found

    def send(self, method: str, url: str, body: Json | None = None) -> tuple[Any, Any]:
        """One call: the answer's JSON and its headers."""
        data = json.dumps(body).encode() if body is not None else None
        return self.send_bytes(method, url, data, "application/json")

    def send_bytes(self, method: str, url: str, data: Any, kind: str, length: int | None = None) -> tuple[Any, Any]:
        """One call with a body of any kind."""
        request = urllib.request.Request(url, data=data, method=method)
        request.add_header("Accept", "application/json")
        if data is not None:
            request.add_header("Content-Type", kind)
        if length is not None:
            request.add_header("Content-Length", str(length))
        if self.token:
            request.add_header("X-Auth-Token", self.token)
        doing = f"{method} {urllib.parse.urlsplit(url).path}"
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return (json.loads(text) if text else {}), answer.headers
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:600]
            raise Trouble(f"{doing} answered {error.code}: {said}", "`./ops/status`, and the logs it names") from None
        except OSError as error:
            raise Trouble(f"{doing}: {error}", "`./ops/status`, and the logs it names") from None


def pretend_image(state: State) -> Path:
    """A disk for simulated hypervisors, which never look at it: one empty mebibyte that says it can boot."""
    path = state.root / "pretend.img"
    if not path.exists():
        path.write_bytes(b"\0" * 510 + b"\x55\xaa" + b"\0" * (1024 * 1024 - 512))
    return path


def image_ensure(api: Api, path: Path, disk_format: str) -> str:
    """The guest image in the cloud, uploaded unless it is there. Returns its id."""
    base = image_base(api)
    for image in api.send("GET", f"{base}/v2/images?name={IMAGE}")[0]["images"]:
        if image["status"] == "active":
            return str(image["id"])
        api.send("DELETE", f"{base}/v2/images/{image['id']}")
    asked = {
        "name": IMAGE, "disk_format": disk_format, "container_format": "bare", "visibility": "public", "min_ram": 64,
    }  # fmt: skip
    made, _ = api.send("POST", f"{base}/v2/images", asked)
    with path.open("rb") as data:
        size = path.stat().st_size
        api.send_bytes("PUT", f"{base}/v2/images/{made['id']}/file", data, "application/octet-stream", size)
    return str(made["id"])


def image_base(api: Api) -> str:
    """The image service's address without a version."""
    return api.catalog["image"].removesuffix("/v2")


def network_ensure(api: Api) -> str:
    """The first network with its subnet. Returns its id."""
    base = api.catalog["network"].removesuffix("/v2.0") + "/v2.0"
    found = api.send("GET", f"{base}/networks?name={NETWORK}")[0]["networks"]
    network = found[0] if found else api.send("POST", f"{base}/networks", {"network": {"name": NETWORK}})[0]["network"]
    if not network["subnets"]:
        subnet = {"network_id": network["id"], "name": SUBNET, "ip_version": 4, "cidr": CIDR}
        api.send("POST", f"{base}/subnets", {"subnet": subnet})
    return str(network["id"])


def keypair_ensure(api: Api, state: State) -> None:
    """A key pair whose private half lies in the state folder, mode 600."""
    private = state.root / "first.pem"
    pairs = [pair["keypair"]["name"] for pair in api.call("compute", "GET", "/os-keypairs")["keypairs"]]
    if KEY in pairs and private.exists():
        return
    if KEY in pairs:
        api.call("compute", "DELETE", f"/os-keypairs/{KEY}")
    made = api.call("compute", "POST", "/os-keypairs", {"keypair": {"name": KEY}})
    write_private(private, made["keypair"]["private_key"])


def server_find(api: Api) -> Json | None:
    """The first server, if it was made."""
    found = api.call("compute", "GET", f"/servers/detail?name=^{SERVER}$")["servers"]
    return next((server for server in found if server["name"] == SERVER), None)


def server_ensure(api: Api, image_id: str, network_id: str) -> str:
    """The first server, asked for unless it is there and sound. Returns its id."""
    found = server_find(api)
    if found and found["status"] != "ERROR":
        return str(found["id"])
    if found:
        api.call("compute", "DELETE", f"/servers/{found['id']}")
        wait("the broken first server to go", lambda: server_find(api) is None, 60)
    flavors = api.call("compute", "GET", "/flavors")["flavors"]
    flavor = next(flavor["id"] for flavor in flavors if flavor["name"] == FLAVOR)
    asked = {
        "name": SERVER, "imageRef": image_id, "flavorRef": flavor, "key_name": KEY, "networks": [{"uuid": network_id}],
    }  # fmt: skip
    return str(api.call("compute", "POST", "/servers", {"server": asked})["server"]["id"])


def server_wait(api: Api, server_id: str, seconds: float = 90) -> str:
    """Wait until it is ACTIVE and has an address, which is returned. Raises Trouble with its fault."""
    shown: Json = {}

    def up() -> bool:
        shown.update(api.call("compute", "GET", f"/servers/{server_id}")["server"])
        if shown["status"] == "ERROR":
            fault = shown.get("fault", {}).get("message", "no reason was given")
            raise Trouble(f"the first server failed: {fault}", f"`.venv/bin/skybus trace` shows why; logs: {server_id}")
        return shown["status"] == "ACTIVE" and bool(shown["addresses"])

    wait("the first server to be ACTIVE", up, seconds)
    return str(next(iter(shown["addresses"].values()))[0]["addr"])


def prompt_wait(api: Api, server_id: str, seconds: float = 180) -> None:
    """Wait until its console shows the login prompt."""
    ask = {"os-getConsoleOutput": {"length": 50}}
    path = f"/servers/{server_id}/action"
    wait("the login prompt on its console", lambda: PROMPT in api.call("compute", "POST", path, ask)["output"], seconds)


def wait(what: str, done: Callable[[], bool], seconds: float) -> None:
    """Wait until `done()`. Raises Trouble after `seconds`."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise Trouble(f"waited {seconds:.0f} s for {what}, in vain", "`./ops/status`, and the logs it names")
        time.sleep(0.1)
