"""Compute's policy: OpenStack's rule names with the defaults of secure RBAC."""

from __future__ import annotations

ADMIN = "role:admin"
MEMBER = "role:admin or (role:member and project_id:%(project_id)s)"
READER = "role:admin or (role:reader and project_id:%(project_id)s)"
OWN_USER = "role:admin or user_id:%(user_id)s"
ANY = "@"

_API = "os_compute_api:"


def _rules(prefix: str, check: str, *names: str) -> dict[str, str]:
    return {f"{_API}{prefix}:{name}": check for name in names}


RULES: dict[str, str] = {
    "project_member_or_admin": MEMBER,
    "project_reader_or_admin": READER,
    f"{_API}extensions": ANY,
    **_rules("flavors", ANY, "index", "detail", "show"),
    **_rules("os-flavor-manage", ADMIN, "create", "update", "delete"),
    f"{_API}os-flavor-access": ADMIN,
    **_rules("os-flavor-access", ADMIN, "add_tenant_access", "remove_tenant_access"),
    **_rules("os-flavor-extra-specs", READER, "index", "show"),
    **_rules("os-flavor-extra-specs", ADMIN, "create", "update", "delete"),
    **_rules("os-keypairs", OWN_USER, "index", "show", "create", "delete"),
    **_rules("servers", READER, "index", "detail", "show", "show:flavor-extra-specs"),
    **_rules(
        "servers",
        ADMIN,
        "index:get_all_tenants",
        "detail:get_all_tenants",
        "allow_all_filters",
        "show:host_status",
        "show:host_status:unknown-only",
        "create:forced_host",
        "create:zero_disk_flavor",
    ),
    **_rules("servers", MEMBER, "create", "create:trusted_certs", "update", "delete", "start", "stop", "reboot"),
    "compute:servers:create:requested_destination": ADMIN,
    f"{_API}os-extended-server-attributes": ADMIN,
    f"{_API}os-console-output": MEMBER,
    **_rules("os-lock-server", MEMBER, "lock", "unlock"),
    **_rules("os-lock-server", ADMIN, "unlock:unlock_override"),
    **_rules("os-admin-actions", ADMIN, "reset_state"),
    **_rules("server-metadata", READER, "index", "show"),
    **_rules("server-metadata", MEMBER, "create", "update_all", "update", "delete"),
    **_rules("os-server-tags", READER, "index", "show"),
    **_rules("os-server-tags", MEMBER, "update_all", "update", "delete", "delete_all"),
    **_rules("ips", READER, "index", "show"),
    **_rules("os-attach-interfaces", READER, "list", "show"),
    **_rules("os-volumes-attachments", READER, "index", "show"),
    **_rules("os-volumes-attachments", MEMBER, "create", "update", "delete"),
    **_rules("os-instance-actions", READER, "list", "show"),
    **_rules("os-instance-actions", ADMIN, "events", "events:details"),
    **_rules("os-hypervisors", ADMIN, "list", "list-detail", "show", "statistics", "uptime", "search", "servers"),
    **_rules("os-services", ADMIN, "list", "update", "delete"),
    f"{_API}limits": ANY,
    f"{_API}limits:other_project": ADMIN,
    **_rules("os-availability-zone", ANY, "list"),
    **_rules("os-availability-zone", ADMIN, "detail"),
    **_rules("os-aggregates", ADMIN, "index"),
    **_rules("os-quota-sets", READER, "show", "detail"),
    **_rules("os-quota-sets", ANY, "defaults"),
    **_rules("os-quota-sets", ADMIN, "update", "delete"),
    **_rules("os-server-groups", READER, "index"),
    **_rules("os-server-groups", ADMIN, "index:all_projects"),
    **_rules("os-simple-tenant-usage", READER, "show"),
    **_rules("os-simple-tenant-usage", ADMIN, "list"),
}
