"""Tell Tempest what the running cloud is and what it has. What it lacks is said here, so that skips are honest."""

from __future__ import annotations

from pathlib import Path

from . import clouds, first_server, guest_image
from .config import COMPLIANCE
from .first_server import Api, Json
from .state import State, write_private

NETWORK, SUBNET, CIDR = "conformance", "conformance-v4", "10.21.0.0/16"
IMAGES = ("conformance", "conformance-other")
MISSING_OF_COMPUTE = (
    "change_password", "resize", "pause", "shelve", "suspend", "cold_migration", "live_migration", "rescue",
    "interface_attach", "snapshot", "personality", "attach_encrypted_volume", "vnc_console", "swap_volume",
    "volume_multiattach", "ide_bus",
)  # fmt: skip
MISSING_OF_VOLUME = (
    "multi_backend", "backup", "snapshot", "clone", "manage_snapshot", "manage_volume", "extend_attached_volume",
    "extend_volume_with_snapshot", "enable_volume_image_dep_tests",
)  # fmt: skip
Sections = dict[str, dict[str, object]]


def write(state: State, port: int, work: Path) -> Path:
    """`tempest.conf` in `work`, mode 600; makes the images and the network that it names. Raises Trouble."""
    api = Api(state, port)
    images = [image_ensure(api, state, name) for name in IMAGES]
    aliases = network_extensions(api)
    sections = basics(state, port, work, aliases) | compute(api, images) | network(api, aliases) | storage(api)
    text = ""
    for title, values in sections.items():
        text += f"[{title}]\n" + "".join(f"{key} = {ini(value)}\n" for key, value in values.items()) + "\n"
    path = work / "tempest.conf"
    write_private(path, text)
    return path


def ini(value: object) -> str:
    """A value as oslo.config reads it."""
    return ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)


def basics(state: State, port: int, work: Path, aliases: list[str]) -> Sections:
    """Who the admin is, where the tests keep their files, what is looked at."""
    for folder in ("locks", "log"):
        (work / folder).mkdir(exist_ok=True)
    return {
        "DEFAULT": {"debug": True, "log_dir": work / "log", "log_file": "tempest.log"},
        "oslo_concurrency": {"lock_path": work / "locks"},
        "auth": {
            "use_dynamic_credentials": True,
            # A network for each project comes with a router; without routers all share one network.
            "create_isolated_networks": "router" in aliases,
            "admin_username": "admin",
            "admin_project_name": "admin",
            "admin_password": state.secret(clouds.ADMIN_SECRET),
            "admin_domain_name": "Default",
        },
        "identity": {
            "uri_v3": clouds.auth_url(port),
            "auth_version": "v3",
            "region": "RegionOne",
            **{f"user_{name}": value for name, value in COMPLIANCE.items()},
        },
        "identity-feature-enabled": {
            "security_compliance": True,
            "trust": True,
            "api_extensions": ["all"],
            "access_rules": True,
            "domain_specific_drivers": True,
        },
        "service_available": {"swift": False, "horizon": False},
        # A simulated guest answers no ssh; that real ones do is proved in tests/system.
        "validation": {"run_validation": False},
    }


def compute(api: Api, images: list[str]) -> Sections:
    """Flavors, hosts, microversions, and what servers cannot do."""
    flavors = sorted(api.call("compute", "GET", "/flavors/detail")["flavors"], key=lambda flavor: int(flavor["ram"]))
    hosts = api.call("compute", "GET", "/os-hypervisors")["hypervisors"]
    oldest, newest = microversions(api, "compute")
    return {
        "compute": {
            "image_ref": images[0],
            "image_ref_alt": images[1],
            "flavor_ref": flavors[0]["id"],
            "flavor_ref_alt": flavors[1]["id"],
            "min_compute_nodes": len(hosts),
            "min_microversion": oldest,
            "max_microversion": newest,
            "fixed_network_name": NETWORK,
            "build_interval": 1,
            "build_timeout": 120,
        },
        "compute-feature-enabled": dict.fromkeys(MISSING_OF_COMPUTE, False)
        | {"nova_policy_roles": ["admin", "member", "reader"], "scheduler_enabled_filters": ["ComputeFilter"]},
    }


def network_extensions(api: Api) -> list[str]:
    """What the network API says that it has."""
    return [str(one["alias"]) for one in api.send("GET", f"{network_base(api)}/extensions")[0]["extensions"]]


def network(api: Api, aliases: list[str]) -> Sections:
    """The network that servers get, and the extensions that the API itself names."""
    network_ensure(api)
    return {
        "network": {"project_network_cidr": "10.100.0.0/16", "build_interval": 1},
        "network-feature-enabled": {
            "api_extensions": aliases,
            "floating_ips": "router" in aliases,
            "port_security": "port-security" in aliases,
            "ipv6_subnet_attributes": False,
        },
    }


def storage(api: Api) -> Sections:
    """Images and volumes."""
    oldest, newest = microversions(api, "volumev3")
    return {
        # Formats are enforced here. Knowing that, Tempest would try no list of images at all, because it uploads noise
        # under every name; raw is the one format that noise may have, so that with it alone nothing is skipped.
        "image": {"build_interval": 1, "disk_formats": ["raw"], "container_formats": ["bare", "ovf", "ova"]},
        "image-feature-enabled": {
            "import_image": False,
            "os_glance_reserved": False,
            "image_format_enforcement": False,
        },
        "volume": {
            "catalog_type": "block-storage",
            "volume_size": 1,
            "min_microversion": oldest,
            "max_microversion": newest,
            "storage_protocol": "iSCSI",
            "vendor_name": "Skybus",
            "build_interval": 1,
            "build_timeout": 60,
        },
        "volume-feature-enabled": dict.fromkeys(MISSING_OF_VOLUME, False) | {"api_extensions": volume_extensions(api)},
    }


def volume_extensions(api: Api) -> list[str]:
    """What the block storage API says that it has."""
    return [str(one["alias"]) for one in api.call("volumev3", "GET", "/extensions")["extensions"]]


def microversions(api: Api, service: str) -> tuple[str, str]:
    """The oldest and the newest that the service speaks."""
    found: Json = api.send("GET", api.catalog[service] + "/")[0]
    document = found.get("version") or found["versions"][0]
    return str(document["min_version"]), str(document["version"])


def network_base(api: Api) -> str:
    """Where the network API's nouns are."""
    return api.catalog["network"].removesuffix("/v2.0") + "/v2.0"


def network_ensure(api: Api) -> None:
    """A network that every project may use, with room for many servers."""
    base = network_base(api)
    found = api.send("GET", f"{base}/networks?name={NETWORK}")[0]["networks"]
    asked = {"network": {"name": NETWORK, "shared": True}}
    made = found[0] if found else api.send("POST", f"{base}/networks", asked)[0]["network"]
    if not made["subnets"]:
        subnet = {"network_id": made["id"], "name": SUBNET, "ip_version": 4, "cidr": CIDR}
        api.send("POST", f"{base}/subnets", {"subnet": subnet})


def image_ensure(api: Api, state: State, name: str) -> str:
    """A public image called `name`: the guest's where guests are real, otherwise one that nobody looks into."""
    base = first_server.image_base(api)
    for image in api.send("GET", f"{base}/v2/images?name={name}&status=active")[0]["images"]:
        return str(image["id"])
    real = state.facts()["form"]["real"]
    path = guest_image.image() if real else first_server.pretend_image(state)
    asked = {
        "name": name, "disk_format": "qcow2" if real else "raw", "container_format": "bare", "visibility": "public",
    }  # fmt: skip
    made, _ = api.send("POST", f"{base}/v2/images", asked)
    with path.open("rb") as data:
        size = path.stat().st_size
        api.send_bytes("PUT", f"{base}/v2/images/{made['id']}/file", data, "application/octet-stream", size)
    return str(made["id"])
