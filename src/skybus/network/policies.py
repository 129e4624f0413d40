"""Who may do what to networks: Neutron's rule names with its secure defaults.

Where Neutron writes `%(network:project_id)s` and `field:networks:shared=True` we write `%(network.project_id)s` and
`'True':%(shared)s`, which our policy language can say.
"""

from __future__ import annotations

ADMIN = "role:admin"
SERVICE = "role:service"
ADMIN_OR_SERVICE = "role:admin or role:service"
MEMBER = "(role:member and project_id:%(project_id)s)"
READER = "(role:reader and project_id:%(project_id)s)"
MANAGER = "(role:manager and project_id:%(project_id)s)"
NET_OWNER_MEMBER = "(role:member and project_id:%(network.project_id)s)"
NET_OWNER_READER = "(role:reader and project_id:%(network.project_id)s)"
NET_OWNER_MANAGER = "(role:manager and project_id:%(network.project_id)s)"
SHARED = "'True':%(shared)s"
EXTERNAL = "'True':%(external)s"
NETWORK_DEVICE = "'True':%(network_device)s"

ADMIN_OR_MEMBER = f"{ADMIN} or {MEMBER}"
ADMIN_OR_READER = f"{ADMIN} or {READER}"
ADMIN_OR_MANAGER = f"{ADMIN} or {MANAGER}"
ON_OWN_NETWORK = f"{ADMIN_OR_SERVICE} or {NET_OWNER_MEMBER}"

_NETWORK = {
    "create_network": ADMIN_OR_MEMBER,
    "create_network:shared": ADMIN,
    "create_network:router:external": ADMIN,
    "create_network:is_default": ADMIN,
    "create_network:port_security_enabled": ADMIN_OR_MEMBER,
    "create_network:provider:network_type": ADMIN,
    "create_network:provider:physical_network": ADMIN,
    "create_network:provider:segmentation_id": ADMIN,
    "get_network": f"{ADMIN_OR_READER} or {SERVICE} or {SHARED} or {EXTERNAL}",
    "get_network:provider:network_type": ADMIN,
    "get_network:provider:physical_network": ADMIN,
    "get_network:provider:segmentation_id": ADMIN,
    "update_network": ADMIN_OR_MEMBER,
    "update_network:shared": ADMIN,
    "update_network:router:external": ADMIN,
    "update_network:is_default": ADMIN,
    "update_network:port_security_enabled": ADMIN_OR_MEMBER,
    "delete_network": ADMIN_OR_MEMBER,
}

_SUBNET = {
    # Of the route: whose network it is only the body tells, and the handler asks `create_subnet` then.
    "create_subnet:somewhere": f"{ADMIN} or role:member",
    "create_subnet": f"{ADMIN} or {NET_OWNER_MEMBER}",
    "get_subnet": f"{READER} or {SHARED} or {EXTERNAL} or {ADMIN} or {NET_OWNER_READER} or {SERVICE}",
    "update_subnet": f"{MEMBER} or {ADMIN} or {NET_OWNER_MEMBER}",
    "delete_subnet": f"{MEMBER} or {ADMIN} or {NET_OWNER_MEMBER}",
}

_PORT = {
    # Of the route, as above.
    "create_port:somewhere": f"{ADMIN_OR_SERVICE} or role:member",
    "create_port": f"{ON_OWN_NETWORK} or (role:member and {SHARED})",
    "create_port:device_id": f"{ADMIN_OR_MEMBER} or {SERVICE}",
    "create_port:device_owner": f"not {NETWORK_DEVICE} or {ON_OWN_NETWORK}",
    "create_port:mac_address": ON_OWN_NETWORK,
    "create_port:fixed_ips": f"{ON_OWN_NETWORK} or {SHARED}",
    "create_port:fixed_ips:ip_address": ON_OWN_NETWORK,
    "create_port:fixed_ips:subnet_id": f"{ON_OWN_NETWORK} or {SHARED}",
    "create_port:port_security_enabled": ON_OWN_NETWORK,
    "create_port:binding:host_id": ADMIN_OR_SERVICE,
    "create_port:binding:profile": SERVICE,
    "create_port:binding:vnic_type": f"{ADMIN_OR_MEMBER} or {SERVICE}",
    "get_port": f"{ADMIN_OR_SERVICE} or {NET_OWNER_READER} or {READER}",
    "get_port:binding:vif_type": ADMIN_OR_SERVICE,
    "get_port:binding:vif_details": ADMIN_OR_SERVICE,
    "get_port:binding:host_id": ADMIN_OR_SERVICE,
    "get_port:binding:profile": ADMIN_OR_SERVICE,
    "update_port": f"{ADMIN_OR_SERVICE} or {MEMBER}",
    "update_port:device_id": f"{ADMIN_OR_MEMBER} or {SERVICE}",
    "update_port:device_owner": f"not {NETWORK_DEVICE} or {ON_OWN_NETWORK}",
    "update_port:mac_address": f"{ADMIN_OR_SERVICE} or {NET_OWNER_MANAGER}",
    "update_port:fixed_ips": ON_OWN_NETWORK,
    "update_port:fixed_ips:ip_address": ON_OWN_NETWORK,
    "update_port:fixed_ips:subnet_id": f"{ON_OWN_NETWORK} or {SHARED}",
    "update_port:port_security_enabled": ON_OWN_NETWORK,
    "update_port:binding:host_id": ADMIN_OR_SERVICE,
    "update_port:binding:profile": SERVICE,
    "update_port:binding:vnic_type": f"{ADMIN_OR_SERVICE} or {MEMBER}",
    "delete_port": f"{ADMIN_OR_SERVICE} or {NET_OWNER_MEMBER} or {MEMBER}",
}

_OTHERS = {
    "create_security_group": ADMIN_OR_MEMBER,
    "get_security_group": ADMIN_OR_READER,
    "update_security_group": ADMIN_OR_MEMBER,
    "delete_security_group": ADMIN_OR_MEMBER,
    "create_security_group_rule": ADMIN_OR_MEMBER,
    "get_security_group_rule": ADMIN_OR_READER,
    "delete_security_group_rule": ADMIN_OR_MEMBER,
    "get_quota": ADMIN_OR_MANAGER,
    "update_quota": ADMIN,
    "delete_quota": ADMIN,
    "get_availability_zone": "@",
    "get_service_provider": "@",
    "get_extension": "@",
    # Of the list route: Neutron answers anybody, and shows agents to whom `get_agent` allows.
    "get_agent:list": "@",
    "get_agent": ADMIN,
    "update_agent": ADMIN,
    "delete_agent": ADMIN,
}

RULES: dict[str, str] = {**_NETWORK, **_SUBNET, **_PORT, **_OTHERS}
