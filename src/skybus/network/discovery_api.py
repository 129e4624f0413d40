"""What a client may find out about the API: versions, resources, extensions, zones, providers."""

from __future__ import annotations

from typing import Any

from skybus.errors import NotFound
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, PUBLIC, Route

# (alias, name, description, updated): what this API really does, and nothing that it does not.
_EXTENSIONS = (
    ("agent", "agent", "Network agents that have reported.", "2013-02-03T10:00:00-00:00"),
    ("binding", "Port Binding", "The host that a port is bound to.", "2014-02-03T10:00:00-00:00"),
    ("external-net", "Neutron external network", "Networks that lead outside.", "2013-01-14T10:00:00-00:00"),
    ("net-mtu", "Network MTU", "The MTU of a network.", "2015-03-25T10:00:00-00:00"),
    ("net-mtu-writable", "Network MTU (writable)", "A smaller MTU may be asked for.", "2017-07-12T00:00:00-00:00"),
    ("port-security", "Port Security", "Guard against spoofing, on or off.", "2012-07-23T10:00:00-00:00"),
    ("provider", "Provider Network", "How a network is made: vxlan or flat.", "2012-09-07T10:00:00-00:00"),
    ("quotas", "Quota management support", "Limits of each project.", "2012-07-29T10:00:00-00:00"),
    ("quota_details", "Quota details management support", "Limits with what is used.", "2017-02-10T10:00:00-00:00"),
    ("security-group", "security-group", "The default group of a project, to be read.", "2012-10-05T10:00:00-00:00"),
    ("availability_zone", "Availability Zone", "The zones that networks are in.", "2015-01-01T10:00:00-00:00"),
    ("pagination", "Pagination support", "limit, marker and page_reverse.", "2016-06-12T00:00:00-00:00"),
    ("sorting", "Sorting support", "sort_key and sort_dir.", "2016-06-12T00:00:00-00:00"),
    ("filter-validation", "Filter parameters validation", "Unknown filters are refused.",
     "2018-03-21T10:00:00-00:00"),
    ("ip-substring-filtering", "IP address substring filtering", "Ports by part of an address.",
     "2017-11-28T09:00:00-00:00"),
    ("subnet-external-network", "Subnet belongs to external network", "router:external of a subnet.",
     "2023-10-25T10:00:00-00:00"),
    ("project-id", "project_id field enabled", "project_id beside tenant_id.", "2016-09-09T09:09:09-09:09"),
    ("standard-attr-description", "standard-attr-description", "Descriptions.", "2016-02-10T10:00:00-00:00"),
    ("standard-attr-timestamp", "Resource timestamps", "created_at and updated_at.", "2016-09-12T10:00:00-00:00"),
    ("standard-attr-revisions", "Resource revision numbers", "revision_number.", "2016-04-11T10:00:00-00:00"),
    ("service-type", "Neutron Service Type Management", "Providers of services.", "2013-01-20T00:00:00-00:00"),
)  # fmt: skip
EXTENSIONS: dict[str, dict[str, Any]] = {
    alias: {"alias": alias, "name": name, "description": description, "updated": updated, "links": []}
    for alias, name, description, updated in _EXTENSIONS
}
RESOURCES = (("network", "networks"), ("subnet", "subnets"), ("port", "ports"))


async def list_versions(call: Call) -> Reply:
    """The versions of the API: one."""
    link = {"rel": "self", "href": f"{call.base}/v2.0/"}
    return Reply({"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]})


async def show_version(call: Call) -> Reply:
    """The resources at the core of version 2.0."""
    resources = [
        {"name": name, "collection": many, "links": [{"rel": "self", "href": f"{call.base}/{many}"}]}
        for name, many in RESOURCES
    ]
    return Reply({"resources": resources})


async def list_extensions(call: Call) -> Reply:
    """Every extension that is there."""
    return Reply({"extensions": list(EXTENSIONS.values())})


async def show_extension(call: Call) -> Reply:
    """One extension."""
    alias = call.args["alias"]
    if alias not in EXTENSIONS:
        raise NotFound(f"Extension with alias {alias[:64]} does not exist", type="HTTPNotFound")
    return Reply({"extension": EXTENSIONS[alias]})


async def list_zones(call: Call) -> Reply:
    """The one zone."""
    return Reply({"availability_zones": [{"name": "nova", "resource": "network", "state": "available"}]})


async def list_providers(call: Call) -> Reply:
    """Providers of services beyond networks: there are none."""
    return Reply({"service_providers": []})


ROUTES = [
    Route(method="GET", path="/", handler=show_version, policy=PUBLIC, body=NO_BODY),
    Route(method="GET", path="/extensions", handler=list_extensions, policy="get_extension", body=NO_BODY),
    Route(method="GET", path="/extensions/{alias}", handler=show_extension, policy="get_extension", body=NO_BODY),
    Route(method="GET", path="/availability_zones", handler=list_zones, policy="get_availability_zone", body=NO_BODY),
    Route(method="GET", path="/service-providers", handler=list_providers, policy="get_service_provider",
          body=NO_BODY),
]  # fmt: skip
VERSIONS_ROUTES = [Route(method="GET", path="/", handler=list_versions, policy=PUBLIC, body=NO_BODY)]
